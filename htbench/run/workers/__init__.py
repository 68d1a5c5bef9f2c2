"""The processes that do the work of a run: this one, or actors on Ray."""
