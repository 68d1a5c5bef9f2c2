"""The embedded model and its world."""
