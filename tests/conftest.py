"""Fixtures of all tests: the toy model, content folders, tiny twins.

Array shapes are checked while tests run.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook(
    ["htbench.steering.fitting.transport", "htbench.scorers.metrics"], "beartype.beartype"
)

from kit.toy import Toy  # noqa: E402

from htbench.core import content, registry  # noqa: E402
from htbench.steering.concept import Concept  # noqa: E402


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Every test draws the same random numbers, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def model() -> Toy:
    return Toy()


@pytest.fixture
def lemon() -> Concept:
    return Concept(
        id="companion/lemon",
        kind="companion",
        text="with lemon",
        template="{prompt} with lemon",
        sources=("cat", "dog"),
    )


@pytest.fixture
def own_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of content in place of the shipped one."""
    for name in ("baselines", "concepts", "reports/plans"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(content, "folder", lambda name: tmp_path / name)
    return tmp_path


@pytest.fixture
def toy_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of Python that makes the toy model and its encoder plug-ins.

    In this process and in those that it starts.
    """
    from kit import toy_plugin

    folder = tmp_path / "plugins"
    toy_plugin.install(folder, monkeypatch)
    yield folder
    registry.plugins.cache_clear()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny twins of the published generators as saved pipelines, by family."""
    from kit.tiny_llm_twins import save_flux2, save_qwen_image, save_sana, save_z_image
    from kit.tiny_twins import save_flux, save_pixart, save_sdxl

    savers = {
        "sdxl": save_sdxl,
        "pixart-sigma": save_pixart,
        "flux": save_flux,
        "sana-sprint": save_sana,
        "z-image": save_z_image,
        "qwen-image": save_qwen_image,
        "flux2-klein": save_flux2,
    }
    saved = {family: tmp_path_factory.mktemp(family) for family in savers}
    for family, save in savers.items():
        save(saved[family])
    return saved


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of the tests' own, in this process and in those that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def tiny(folders: dict[str, Path], own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The architectures of the twins in place of the published ones."""
    from kit import tiny_llm_twins, tiny_twins

    from htbench.models.published import adapter
    from htbench.models.published.preset import architecture

    def shrunk(family: str) -> dict[str, object]:
        saved = adapter._configs(folders[family], adapter.FAMILIES[family])
        return {
            **saved,
            "scheduler": architecture(family)["scheduler"],
            "words": {**tiny_twins.WORDS, **tiny_llm_twins.WORDS}[family],
            "text_encoders": {**tiny_twins.TEXT, **tiny_llm_twins.TEXT}[family],
        }

    monkeypatch.setattr(adapter, "architecture", shrunk)
