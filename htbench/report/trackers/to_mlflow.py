"""A run in MLflow, at the address that MLFLOW_TRACKING_URI has.

References:
    https://mlflow.org/docs/latest/ml/tracking
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from htbench.core import content
from htbench.core.errors import Missing
from htbench.report.trackers.method_record import DIGEST, MethodRecord, Outcome

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NAME = "htbench_name"
"""Tag with the digest of a run's name, which may hold signs that searches do not take."""
_MAX_SETTING = 500
"""Most letters of a setting that every version takes."""
_MAX_PARAMS = 100
"""Most settings that are sent at once."""


def write(project: str, records: Sequence[MethodRecord]) -> list[str]:
    """Write the methods as runs of an experiment; return a line per run on what became of it.

    Raises:
        Missing: if mlflow is not installed, or cannot be reached or written.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise Missing("mlflow is not installed", remedy="pip install 'htbench[mlflow]'") from None
    try:
        client = MlflowClient()
        known = client.get_experiment_by_name(project)
        experiment = known.experiment_id if known else client.create_experiment(project)
        return [record.describe(_write(client, experiment, record), project) for record in records]
    except (OSError, ImportError, MlflowException) as error:
        line = " ".join(str(error).split())[:300]
        raise Missing(
            f"mlflow cannot write: {line}", remedy="MLFLOW_TRACKING_URI names another place."
        ) from None


def _write(client: "MlflowClient", experiment: str, record: MethodRecord) -> Outcome:
    """Write a run; its digest comes last, so that one that was interrupted is written anew."""
    from mlflow.entities import Metric, Param

    name = content.digest(record.name)
    former: Sequence[Any] = client.search_runs([experiment], f"tags.{_NAME} = '{name}'")
    if len(former) == 1 and former[0].data.tags.get(DIGEST) == record.digest:
        return "unchanged"
    run = client.create_run(experiment, run_name=record.name, tags={_NAME: name}).info.run_id
    settings = [Param(key, str(value)[:_MAX_SETTING]) for key, value in record.settings.items()]
    for start in range(0, len(settings), _MAX_PARAMS):
        client.log_batch(run, params=settings[start : start + _MAX_PARAMS])
    for step, metrics in enumerate(record.steps):
        now = int(1000 * time.time())
        client.log_batch(run, [Metric(key, each, now, step) for key, each in metrics.items()])
    for number, picture in enumerate(record.pictures):
        client.log_image(run, picture.image, f"pictures/{number}.png")
        client.set_tag(run, f"picture {number}", picture.caption)
    client.set_tag(run, DIGEST, record.digest)
    client.set_terminated(run)
    for each in former:
        client.delete_run(each.info.run_id)
    return "replaced" if former else "new"
