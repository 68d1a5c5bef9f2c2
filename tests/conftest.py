"""What tests share: the toy model and content folders of their own. Array shapes are checked while tests run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook(["htbench.transport", "htbench.metric"], "beartype.beartype")

from toy import Toy  # noqa: E402

from htbench import content, registry  # noqa: E402
from htbench.concept import Concept  # noqa: E402


@pytest.fixture
def model() -> Toy:
    return Toy()


@pytest.fixture
def lemon() -> Concept:
    return Concept(id="companion/lemon", kind="companion", text="with lemon", template="{prompt} with lemon", sources=("cat", "dog"))


@pytest.fixture
def own_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of content instead of what is shipped."""
    for name in ("baselines", "concepts", "reports"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(content, "folder", lambda name: tmp_path / name)
    return tmp_path


@pytest.fixture
def toy_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that, on the path of Python, installs the toy model and its encoder as plug-ins; here and in processes started from here."""
    import toy_plugin

    folder = tmp_path / "plugins"
    toy_plugin.install(folder, monkeypatch)
    yield folder
    registry.plugins.cache_clear()
