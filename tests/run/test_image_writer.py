"""Images that are written on a thread beside the run."""

import threading
from pathlib import Path

import pytest

from htbench.core.types import Digest
from htbench.run.image_writer import ImageWriter
from htbench.run.store import GeneratedImage, Store
from htbench.run.workers.messages import GeneratedBatch

KEYS = [Digest(f"k{k}") for k in range(3)]


def batch(key: Digest) -> GeneratedBatch:
    image = GeneratedImage(key=key, png=key.encode())
    return GeneratedBatch(image_keys=(key,), images=(image,), seconds=1.0, batch_size=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "run")
    store.plan_cells([("m", "c", "p", k, 1.0, key) for k, key in enumerate(KEYS)])
    return store


def write(store: Store, *batches: GeneratedBatch, then: BaseException | None = None) -> None:
    """Write batches, and raise `then`, if it is given, while the last one waits."""
    with ImageWriter(store) as images:
        for one in batches:
            images.add(one)
        if then:
            raise then


def written(store: Store) -> list[Digest]:
    return [row.image for row in store.rows() if row.file]


def test_every_batch_is_in_the_store_at_the_end(store: Store) -> None:
    with store:
        write(store, *map(batch, KEYS))
        assert written(store) == KEYS
        assert [store.image_bytes(row.file or "") for row in store.rows()] == [
            key.encode() for key in KEYS
        ]


def test_a_row_is_written_only_after_its_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, write_now = threading.Event(), store.write_image_files

    def wait_and_write(images: tuple[GeneratedImage, ...]) -> None:
        may_write.wait()
        write_now(images)

    monkeypatch.setattr(store, "write_image_files", wait_and_write)
    with store, ImageWriter(store) as images:
        images.add(batch(KEYS[0]))
        assert written(store) == []
        may_write.set()
        images.flush()
        assert written(store) == KEYS[:1]


def test_what_waits_is_kept_when_the_run_is_interrupted(store: Store) -> None:
    with store:
        with pytest.raises(KeyboardInterrupt):
            write(store, batch(KEYS[0]), then=KeyboardInterrupt())
        assert written(store) == KEYS[:1]


def test_an_error_of_the_thread_is_raised_by_the_next_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_image_files", fail)
    with store:
        with pytest.raises(OSError, match="No space"):
            write(store, batch(KEYS[0]), batch(KEYS[1]))
        assert written(store) == []
