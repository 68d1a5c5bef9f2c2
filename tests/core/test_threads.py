"""The number of threads by the size of the work."""

from collections.abc import Iterator

import pytest
import torch

from htbench.core import threads


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("work", "device", "count"), [(1, "cpu", 1), (1e12, "cpu", 3), (1, "meta", 3)]
)
def test_small_work_on_a_cpu_has_one_thread(work: float, device: str, count: int) -> None:
    with threads.for_work(work, device):
        assert torch.get_num_threads() == count


def test_all_threads_come_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="oh"), threads.for_work(1, "cpu"):
        raise ValueError("oh")
    assert torch.get_num_threads() == 3
