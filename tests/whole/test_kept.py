"""Files that version 0.1.0 wrote, in `tests/kit/kept`, are read and continued by this version."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import toy_plugin
from kit.commands import htbench
from kit.toy import Toy

from htbench.core import registry
from htbench.steering import baseline, intervention
from htbench.steering.concept import Concept
from htbench.steering.intervention import Affine, Interpolate, Intervention, LowRank, Rewrite
from htbench.steering.method import load_or_train

KEPT = Path(__file__).parents[1] / "kit" / "kept"
COMMAND = (
    "run --model toy --concept-set ./words --prompts 2 --seeds 1 --strength 0,1 --name kept"
    " --method none --method prompt --method prompt-interp --method mean-shift"
    " --method linear-act-support --method bures-ot"
)
CLASSES = {
    "affine": Affine,
    "affine-support": Affine,
    "low-rank": LowRank,
    "rewrite": Rewrite,
    "interpolate": Interpolate,
    "none": Intervention,
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the kept files in which the run was issued again."""
    folder = Path(shutil.copytree(KEPT, tmp_path_factory.mktemp("work") / "kept"))
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        patch.setenv("TOY_LOG", str(folder / "made"))
        answer = htbench(*COMMAND.split(), cwd=folder)
        assert answer.returncode == 0, answer.stderr
        yield folder
    registry.plugins.cache_clear()


@pytest.mark.parametrize("name", CLASSES)
def test_a_kept_intervention_is_of_its_class(name: str) -> None:
    assert type(intervention.load(KEPT / "interventions" / f"{name}.safetensors")) is CLASSES[name]


@pytest.mark.parametrize("name", CLASSES)
def test_a_kept_intervention_saved_anew_has_the_same_content_under_a_short_name(
    name: str, tmp_path: Path
) -> None:
    before = intervention.load(KEPT / "interventions" / f"{name}.safetensors")
    intervention.save(before, tmp_path / "map")
    assert repr(intervention.load(tmp_path / "map").state()) == repr(before.state())
    assert b"htbench.intervention" not in (tmp_path / "map").read_bytes()


def test_a_kept_run_issued_again_makes_no_image(kept: Path) -> None:
    assert not (kept / "made").exists()


def test_a_kept_run_issued_again_fits_nothing(kept: Path) -> None:
    folders = KEPT / "runs" / "kept" / "maps", kept / "runs" / "kept" / "maps"
    before, after = (
        sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in folders
    )
    assert before == after


def test_maps_that_were_chosen_by_another_encoder_are_refused(kept: Path) -> None:
    answer = htbench(*COMMAND.split(), "--method", "mean-of-maps", cwd=kept)
    assert answer.returncode == 5
    assert "was made with another encoder" in answer.stderr


@pytest.mark.parametrize("command", ["check kept", "diff kept kept"])
def test_a_kept_run_is_read(command: str, kept: Path) -> None:
    answer = htbench(*command.split(), cwd=kept)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_report_of_a_kept_run_has_its_judge(kept: Path) -> None:
    assert "665" in (kept / "runs" / "kept" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("toy_plugins")
def test_a_kept_steering_predicts(tmp_path: Path, lemon: Concept) -> None:
    card = baseline.load_card(str(KEPT / "trained.toml"))
    steering = load_or_train(card, Toy(), [], folder=tmp_path, seed=0).steering
    assert isinstance(steering.towards(lemon), Affine)
