"""All tests of this folder have a cache of their own."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(own_cache: None) -> None: ...
