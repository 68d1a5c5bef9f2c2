"""Number formats of matrix products."""

import pytest
import torch

from htbench.core.device import autocast_bfloat16


def product(*, enabled: bool) -> torch.dtype:
    with autocast_bfloat16("cpu", enabled=enabled):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_without_bfloat16_stays_in_float32(
    supported: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert product(enabled=True) == dtype


def test_bfloat16_is_used_only_if_asked_for() -> None:
    assert product(enabled=False) == torch.float32
