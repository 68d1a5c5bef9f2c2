"""A pool of one worker: this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from htbench.run.workers.encoder_worker import EncoderWorker
from htbench.run.workers.messages import AnyTask, Handle, Result, SteeringSource
from htbench.steering.baseline import Card

if TYPE_CHECKING:
    from htbench.steering.intervention import Intervention


class LocalPool:
    """A pool that does every task in this process.

    On a GPU images are encoded while the next batch is generated, and their files are written
    meanwhile too, so a run that is killed loses three batches at most. On a CPU encoding would take
    cores from the model, and every parallel loop would wait for the core that was taken.
    """

    size = 1

    def __init__(self, worker: EncoderWorker) -> None:
        self.info = worker.info()
        self._worker = worker

    def run_tasks(self, supply: Callable[[], AnyTask | None]) -> Iterator[tuple[AnyTask, Result]]:
        previous: tuple[AnyTask, Future[Result]] | None = None
        with ThreadPoolExecutor(1) as encoder:
            while (task := supply()) or previous:
                outcome = self._worker.begin(task) if task else None
                if previous:
                    yield previous[0], previous[1].result()
                    previous = None
                if task is None or outcome is None:
                    continue
                if not callable(outcome):
                    yield task, outcome
                elif self.info.device == "cpu":
                    yield task, outcome()
                else:
                    previous = task, encoder.submit(outcome)

    def put(self, intervention: "Intervention") -> Handle:
        return intervention

    def steering_source(self, name: str, card: Card, *, seed: int) -> SteeringSource:
        return SteeringSource(name=name, card=card, seed=seed)
