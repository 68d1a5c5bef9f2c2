"""Writes the images of a run while the next batch is generated."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from htbench.run.store import Store
from htbench.run.workers.messages import GeneratedBatch


class ImageWriter:
    """Writes image files on a thread of its own, and their rows on the thread that uses it.

    An image's row follows its file, so a run that is killed at any time has an image whole or not
    at all. One batch waits at most: adding the next one first writes its rows.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1)
        self._waiting: tuple[GeneratedBatch, Future[None]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits, also after an error, which is then the one that is raised."""
        with self._thread, suppress(*(() if error is None else (Exception,))):
            self.flush()

    def add(self, batch: GeneratedBatch) -> None:
        """Begin to write the images of `batch`.

        Raises:
            OSError: if the images of the batch before could not be written.
        """
        self.flush()
        self._waiting = batch, self._thread.submit(self._store.write_image_files, batch.images)

    def flush(self) -> None:
        """Wait for the files of the batch that waits, and write its rows."""
        if not self._waiting:
            return
        (batch, files), self._waiting = self._waiting, None
        files.result()
        self._store.add_image_rows(batch.images, seconds=batch.seconds, batch=batch.batch_size)
