"""The embedded model, the scenes that it draws, and the training of its weights."""
