"""Peak memory that is calculated beside what one NVIDIA H200 measured, at 1024 pixels.

The peaks are those of `benchmarks/budget.py` of 28 November 2026, with torch 2.11.0, random
weights and the decoder in float32.
"""

from functools import cache

import pytest

from htbench.models.published.footprint import FakeModel
from htbench.models.published.generators import GENERATORS

GIB = 2**30
IMAGES = {
    "dmd2": {1: 9.99, 4: 21.24, 16: 21.38},
    "nitro-1-pixart": {1: 6.27, 4: 17.51, 16: 17.66},
}
"""Peak GiB by number of images in a batch."""
LINEAS_STEP = {1: 6.33, 4: 9.02}
"""Peak GiB of a LinEAS step of dmd2 by number of images at once."""


@cache
def sketch(name: str, decoder: str = "float32") -> FakeModel:
    preset = GENERATORS[name]
    return FakeModel(preset, preset.options(decoder=decoder))


@pytest.mark.parametrize("name", IMAGES)
def test_peaks_of_images_are_within_15_percent_of_those_measured(name: str) -> None:
    calculated = {count: sketch(name).generation(count).peak / GIB for count in IMAGES[name]}
    assert calculated == pytest.approx(IMAGES[name], rel=0.15)


@pytest.mark.slow
def test_peaks_of_learning_are_within_15_percent_of_those_measured() -> None:
    calculated = {count: sketch("dmd2").lineas_step(count).peak / GIB for count in LINEAS_STEP}
    assert calculated == pytest.approx(LINEAS_STEP, rel=0.15)


def test_the_decoder_in_bfloat16_takes_half_the_memory() -> None:
    plain, half = (
        sketch("nitro-1-pixart", decoder).generation(4).peak for decoder in ("float32", "bfloat16")
    )
    assert half == pytest.approx(plain / 2, rel=0.1)
