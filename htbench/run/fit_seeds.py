"""The folders of further fit seeds: each repeats the run, in a run's folder of its own below it.

The first fit seed is the run itself. A further one has the same cells of the methods that are
trained or fitted, with images of the same prompts and seeds, so that their scores are paired.
"""

from pathlib import Path


def folder(run: Path, seed: int) -> Path:
    """The folder of the run that repeats `run` with the `seed` of training and fitting."""
    return run / "fit-seeds" / str(seed)
