"""A crew of one: this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from htbench.run.workers.messages import Handle, Result, Source, Task
from htbench.run.workers.worker import Worker
from htbench.steering.baseline import Card
from htbench.steering.intervention import Intervention


class Alone:
    """Does every task itself. On a GPU pictures are packed while the next batch is made, so a run that is killed makes two batches again at most.

    On a CPU that would take its cores from the model, and every parallel loop would wait for the core that was taken.
    """

    size = 1

    def __init__(self, worker: Worker) -> None:
        self.model = worker.portrait()
        self._worker = worker

    def work(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
        previous: tuple[Task, Future[Result]] | None = None
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
                elif self.model.device == "cpu":
                    yield task, outcome()
                else:
                    previous = task, encoder.submit(outcome)

    def share(self, change: Intervention) -> Handle:
        return change

    def source(self, name: str, card: Card, *, seed: int) -> Source:
        return Source(name=name, card=card, seed=seed)
