"""Scorers' cards and names, and runs that are scored by them."""

import re
import sys
from pathlib import Path

import pytest
from kit.scorer_cards import SCRIPT, command, command_card, with_weights
from typer.testing import CliRunner, Result

from htbench.cli import app
from htbench.core.errors import HtbenchError, Missing, UnknownName, UsageError
from htbench.scorers import scorer

RUN = [
    "run", "--model", "toy", "--method", "prompt", "--prompts", "2", "--strength", "1",
    "--device", "cpu", "--name", "scored",
]  # fmt: skip


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*RUN, *words], catch_exceptions=False)


def test_scores_of_another_version_or_against_something_else_are_other_scores(
    tmp_path: Path,
) -> None:
    ids = [
        scorer.scorer_id(command(tmp_path, "honest", against=against))
        for against in ("target", "prompt")
    ]
    (tmp_path / "runs.txt").unlink()
    ids += [scorer.scorer_id(command(tmp_path, "moody")) for _ in range(2)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("name = 3", UsageError, "name"),
        (
            'name = "a"\nsummary = ""\nbetter = "up"\nagainst = "target"\ncommand = ["x"]',
            UsageError,
            "'higher' or 'lower'",
        ),
        (
            'name = "a"\nsummary = ""\nbetter = "lower"\nagainst = "target"\ncomand = ["x"]',
            UsageError,
            "comand",
        ),
        (
            'name = "a"\nsummary = ""\nbetter = "lower"\nagainst = "target"',
            UsageError,
            "either a command or a gauge",
        ),
        (
            'name = "a"\nsummary = ""\nbetter = "lower"\nagainst = "unsteered"\ngauge = "dinov2"',
            UnknownName,
            "dinov2-small",
        ),
        (
            'name = "a"\nsummary = ""\nbetter = "lower"\nagainst = "target"\n'
            'command = ["x"]\ncounterparts = ["presense"]',
            UsageError,
            "no score 'presense', only concept_gain, presence",
        ),
        (
            'name = "a"\nsummary = ""\nbetter = "lower"\nagainst = "target"\n'
            'command = ["x"]\nrange = [1, 0]',
            UsageError,
            "from a lower to a higher score, not 1 to 0",
        ),
        ("name =", UsageError, "cannot be read"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(
    text: str, kind: type[HtbenchError], says: str, tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(kind, match=says):
        scorer.check(str(tmp_path / "a.toml"))


def test_a_scorer_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="lpips-alex"):
        scorer.check("lpips-alexnet")


@pytest.mark.parametrize(
    ("name", "better", "lacks"),
    [
        ("dinov2-small", "higher", "config.json"),
        ("lpips-alex", "lower", "alexnet-owt-7be5be79.pth"),
    ],
)
def test_scorers_without_weights_say_what_is_missing(
    name: str, better: str, lacks: str, tmp_path: Path
) -> None:
    with pytest.raises(Missing, match=lacks):
        with_weights(tmp_path, name, better)


@pytest.mark.parametrize("name", ["dinov2-small", "lpips-alex"])
def test_scorers_that_were_not_downloaded_say_how(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(Missing) as caught:
        scorer.load(name, "cpu")
    assert f"htbench fetch --scorer {name}" in caught.value.remedy


def example(text: str, language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[0]


@pytest.mark.usefixtures("toy_plugins")
def test_the_documented_scorer_scores_a_run_and_stands_in_its_report_with_its_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "scorers.md").read_text(encoding="utf-8")
    card = example(text, "toml").replace('"python3"', f'"{sys.executable}"')
    (tmp_path / "lightness.toml").write_text(card)
    (tmp_path / "lightness.py").write_text(example(text, "python"))
    monkeypatch.chdir(tmp_path)
    answer = run("--limit", "2", "--scorer", "./lightness.toml", "--json")
    assert answer.exit_code == 0
    assert '"better": "higher"' in answer.stdout
    page = (tmp_path / "runs" / "scored" / "report.html").read_text(encoding="utf-8")
    assert "lightness, higher is better" in page
    assert "version 1.0 and weights none" in page


@pytest.mark.usefixtures("toy_plugins")
def test_a_score_outside_of_its_cards_range_is_not_counted_and_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    card = command_card(tmp_path, "honest", against="concept", range=[0, 1])
    assert run("--limit", "1", "--scorer", str(card)).exit_code == 3
    page = (tmp_path / "runs" / "scored" / "report.html").read_text(encoding="utf-8")
    assert "4: a score outside of its card&#39;s range, 0 to 1." in page


@pytest.mark.usefixtures("toy_plugins")
def test_a_run_with_pictures_that_could_not_be_scored_ends_with_exit_code_3_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = command_card(tmp_path, "error", better="lower", against="concept")
    is_bad = '"bad" in question["text"]'
    script = SCRIPT.replace(is_bad, f'{is_bad} or not os.path.exists("healed")', 1)
    (tmp_path / "words.py").write_text(script)
    assert run("--limit", "1", "--scorer", str(path)).exit_code == 3
    page = (tmp_path / "runs" / "scored" / "report.html").read_text(encoding="utf-8")
    assert "0 of 4 cells have this score. 4: too dark." in page
    (tmp_path / "healed").touch()
    assert run("--limit", "1", "--scorer", str(path)).exit_code == 0
