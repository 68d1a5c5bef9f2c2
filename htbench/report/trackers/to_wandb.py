"""A run in Weights & Biases, as offline runs that `wandb sync` sends.

References:
    https://docs.wandb.ai/models/track/environment-variables
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from htbench.core.errors import Missing
from htbench.report.trackers.method_record import DIGEST, MethodRecord, Outcome

_FINISHED = "htbench-finished"
"""Name of an empty file in the folder of an offline run that is whole."""


def write(project: str, records: Sequence[MethodRecord]) -> list[str]:
    """Write the methods as offline runs of a project; return a line per run on what became of it.

    The id of a run is the digest of its contents: to send it twice adds nothing. Other results
    are another run.

    Raises:
        Missing: if wandb is not installed, or cannot write.
    """
    try:
        import wandb
    except ImportError:
        raise Missing("wandb is not installed", remedy="pip install 'htbench[wandb]'") from None
    home = Path(os.environ.get("WANDB_DIR") or ".")
    try:
        home.mkdir(parents=True, exist_ok=True)
        return [
            record.describe(_write(wandb, home, project, record), project) for record in records
        ]
    except (OSError, wandb.errors.Error) as error:
        line = " ".join(str(error).split())[:300]
        raise Missing(
            f"wandb cannot write: {line}", remedy="WANDB_DIR names another folder."
        ) from None


def _write(wandb: Any, home: Path, project: str, record: MethodRecord) -> Outcome:
    folder = Path(wandb.Settings(root_dir=str(home)).wandb_dir)
    if any(folder.glob(f"offline-run-*-{record.digest}/{_FINISHED}")):
        return "unchanged"
    run = wandb.init(
        project=project,
        id=record.digest,
        name=record.name,
        group=record.run,
        config={**record.settings, DIGEST: record.digest},
        dir=str(home),
        mode="offline",
        settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
    )
    run.define_metric("*", step_metric="strength")
    for step, metrics in enumerate(record.steps):
        pictures = record.pictures if step == record.leaderboard_step else ()
        shown = [wandb.Image(each.image, caption=each.caption) for each in pictures]
        run.log({**metrics, **({"pictures": shown} if shown else {})}, step=step)
    run.finish()
    (Path(run.dir).parent / _FINISHED).touch()
    return "new"
