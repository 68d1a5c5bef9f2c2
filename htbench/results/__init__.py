"""Runs and steered images as values of Python: what `htbench.run`, `open` and `steer` return."""
