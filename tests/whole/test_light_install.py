"""An installation of core dependencies alone: what it does, and how it says which extra is missing.

`test_release.py` installs one.
"""

from pathlib import Path

import pytest
from kit import bundle_folder, foreign_pictures, judged_run, light_process
from kit.judge_servers import Endpoint, serving

READS = {
    "help": ("--help",),
    "list": ("list",),
    "list of models": ("list", "models"),
    "import": ("import", "pictures.csv", "--name", "theirs", "--scorer", "sharpness"),
    "judge": (
        *("judge", "coloured", "--judge", "local", "--model", "scripted"),
        *("--criterion", "presence", "--pairs", "4", "--controls", "0", "--no-calibrate"),
    ),
    "report": ("report", "made"),
    "study": ("study", "export", "made", "--pairs", "6", "--raters", "2"),
    "answers": ("study", "rehearse"),
    "votes": ("study", "import", "rehearsal/answers-001.csv", "--study", "rehearsal"),
    "result": ("study", "report", "made", "--study", "rehearsal"),
    "pack": ("pack", "made"),
    "board": ("board", "bundles"),
    "verify": ("verify", "made.bundle.zip"),
    "unpack": ("unpack", "made.bundle.zip", "--name", "unpacked"),
    "pack of pictures": ("pack", "theirs"),
    "verify of scores": ("verify", "theirs.bundle.zip"),
    "diff": ("diff", "made", "unpacked"),
    "csv": ("export", "made", "--to", "csv"),
    "check": ("check", "made"),
    "check of a judge": ("check", "judge", "local"),
    "doctor": ("doctor",),
    "power": ("power", "--preference", "0.667"),
}
NEEDS = {
    "run": ("run", "quickstart"),
    "steer": ("steer", "--concept", "sepia style", "--prompt", "panda"),
    "train": ("train", "hypertransport"),
    "time": ("time", "--model", "emoji", "--minutes", "1"),
    "check of scorers": ("check", "scorers"),
    "check of a method": ("check", "method", "prompt"),
    "check of an embedding judge": ("check", "judge", "clip"),
    "embedding judge": ("judge", "coloured", "--judge", "clip"),
    "strengths by an embedding judge": (
        *("judge", "coloured", "--judge", "clip", "--task", "strength"),
    ),
    "scores of pictures": (
        *("import", "pictures.csv", "--name", "scored", "--scorer", "emoji-clip-b"),
    ),
    "score": ("score", "made", "--scorer", "emoji-clip-b"),
    "maps": ("maps", "show", "maps.safetensors"),
}
Ends = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs, a bundle and a table of pictures."""
    folder = tmp_path_factory.mktemp("light")
    foreign_pictures.write_table(folder / "pictures.csv", foreign_pictures.make(folder))
    judged_run.build(folder / "runs" / "coloured", concepts=4)
    bundle_folder.add(folder / "bundles", "made")
    (folder / "maps.safetensors").touch()
    for lock in folder.rglob("lock"):  # released, which only the file locks of Unix can tell
        lock.unlink()
    return folder


@pytest.fixture(scope="module")
def stopped(folder: Path) -> tuple[Ends, set[Path]]:
    """The ends of the commands that need an extra, and the files and folders that they made."""
    before = set(folder.rglob("*"))
    answers = light_process.run(list(NEEDS.values()), cwd=folder)
    return dict(zip(NEEDS, answers, strict=True)), {*folder.rglob("*")} - before


@pytest.fixture(scope="module")
def ends(folder: Path, stopped: object) -> Ends:
    """The exit code and the output of every other command, by its name."""
    with pytest.MonkeyPatch.context() as patch, serving(Endpoint()) as endpoint:
        patch.setenv("JUDGE_BASE_URL", endpoint.url)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        answers = light_process.run(list(READS.values()), cwd=folder)
    return dict(zip(READS, answers, strict=True))


def test_scores_that_need_no_model_are_made_anew(ends: Ends) -> None:
    assert "✓ 72 scores by sharpness" in ends["verify of scores"][1]


def test_doctor_says_which_models_need_the_extra(ends: Ends) -> None:
    _, output = ends["doctor"]
    lines = [line.split(maxsplit=3) for line in output.splitlines() if "optional: torch" in line]
    assert ["–", "model", "emoji"] in [line[:3] for line in lines]


@pytest.mark.parametrize("name", READS)
def test_a_command_that_needs_no_model_works_with_core_dependencies(name: str, ends: Ends) -> None:
    code, output = ends[name]
    assert code == 0, output


@pytest.mark.parametrize("name", NEEDS)
def test_a_command_that_needs_a_model_names_its_extra_in_one_line(
    name: str, stopped: tuple[Ends, set[Path]]
) -> None:
    code, output = stopped[0][name]
    line = "htbench: torch is not installed; run: pip install 'htbench[models]'\n"
    assert (code, output) == (4, line)


def test_a_command_that_needs_a_model_leaves_nothing_behind(
    stopped: tuple[Ends, set[Path]],
) -> None:
    assert stopped[1] == set()
