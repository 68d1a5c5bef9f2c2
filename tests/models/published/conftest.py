"""A cache folder of its own for each test of this folder."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(own_cache: None) -> None: ...
