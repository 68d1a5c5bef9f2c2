"""Gauges: commands that are slow, die, lie or know no number; DINOv2 and LPIPS with random weights."""

import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import HtbenchError, Missing, Refused, UnknownName, UsageError
from htbench.scorers import scorer
from htbench.scorers.scorer import Scorer, ScorerInput

SCRIPT = """
import json, os, pathlib, sys, time
habit = sys.argv[1]
runs = pathlib.Path("runs.txt")
run = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (run + 1))
if habit == "mute":
    time.sleep(30)
if habit == "crash":
    sys.exit("no such model")
told = {"name": "other" if habit == "stranger" else "words", "version": "1", "weights": str(run if habit == "moody" else 0)}
print("loading" if habit == "chatty" else json.dumps(told), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"id": asked["id"], "score": len(asked["text"])}
    if "bad" in asked["text"]:
        if habit == "die":
            sys.exit("out of memory")
        if habit == "sleep":
            time.sleep(30)
        if habit == "long":
            print("9" * 3_000_000, end="", flush=True)
        answer |= {"nan": {"score": float("nan")}, "huge": {"score": 10**400}, "text": {"score": "high"}, "true": {"score": True}, "id": {"id": 77},
                   "error": {"score": None, "error": "too dark"}, "nothing": {"score": None}}.get(habit, {})
    print("oops" if habit == "print" and "bad" in asked["text"] else json.dumps(answer), flush=True)
"""


def card(folder: Path, habit: str, **settings: object) -> Path:
    (folder / "words.py").write_text(SCRIPT)
    given = {
        "name": "words",
        "summary": "length",
        "better": "higher",
        "against": "target",
        "command": [sys.executable, "words.py", habit],
        **settings,
    }
    (folder / "words.toml").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in given.items())
    )
    return folder / "words.toml"


def command(folder: Path, habit: str, **settings: object) -> Scorer:
    return scorer.load(str(card(folder, habit, **settings)), "cpu")


def look(
    target: str, folder: Path = Path(), image: str = "a.png", unsteered: str = "a.png"
) -> ScorerInput:
    return ScorerInput(
        image=folder / image, unsteered=folder / unsteered, target=target, concept="c", prompt="p"
    )


LOOKS = [look(text) for text in ("one", "bad", "three")]


def test_a_command_scores_pictures_in_batches(tmp_path: Path) -> None:
    words = command(tmp_path, "honest", batch=2)
    assert words.measure([look("x" * k) for k in range(7)]) == list(map(float, range(7)))
    words.close()
    assert words.measure([look("again")]) == [5.0]
    words.close()


@pytest.mark.parametrize(
    ("habit", "reason"),
    [
        ("die", "ended with exit code 1: out of memory"),
        ("nan", "not finite"),
        ("huge", "not finite"),
        ("text", "no number"),
        ("true", "no number"),
        ("nothing", "no number"),
        ("id", "answered 77, which it was not asked"),
        ("error", "too dark"),
        ("print", "no JSON"),
        ("long", "without an end"),
    ],
)
def test_what_a_command_cannot_score_has_a_reason_and_all_else_its_score(
    habit: str, reason: str, tmp_path: Path
) -> None:
    words = command(tmp_path, habit)
    first, second, third = words.measure(LOOKS)
    words.close()
    assert (first, third) == (3.0, 5.0)
    assert isinstance(second, str)
    assert reason in second


def test_a_command_that_hangs_is_killed_and_the_rest_is_scored(tmp_path: Path) -> None:
    words = command(tmp_path, "sleep", patience=2, start=1000)
    words.measure([look("warm")])
    began = time.monotonic()
    first, second, third = words.measure(LOOKS)
    words.close()
    assert (first, third) == (3.0, 5.0)
    assert str(second).startswith("no answer within")
    assert time.monotonic() - began < 30


def test_a_command_that_always_fails_is_given_up(tmp_path: Path) -> None:
    words = command(tmp_path, "die", batch=1)
    reasons = words.measure([look("bad")] * 20)
    assert all("given up after 3 failures in a row" in str(reason) for reason in reasons[3:])
    assert (tmp_path / "runs.txt").read_text() == "x" * 4  # once to see that it can be started


@pytest.mark.parametrize(
    ("habit", "settings", "kind", "says"),
    [
        ("crash", {}, Missing, "no such model"),
        ("mute", {"start": 1}, Missing, "no answer within 1 s"),
        ("chatty", {}, Missing, "no JSON"),
        ("stranger", {}, Refused, "declares name 'other'"),
        ("honest", {"version": "2"}, Refused, "declares version '1', its card says '2'"),
        ("honest", {"command": ["/no/such/program"]}, Missing, "No such file"),
    ],
)
def test_a_command_that_is_not_what_its_card_says_is_answered_at_once(
    habit: str, settings: dict[str, object], kind: type[HtbenchError], says: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=re.escape(says)) as caught:
        command(tmp_path, habit, **settings)
    assert "\n" not in str(caught.value)


def test_weights_that_change_under_way_are_refused(tmp_path: Path) -> None:
    words = command(tmp_path, "moody")
    with pytest.raises(Refused, match="words 1 0 and then words 1 1"):
        words.measure(LOOKS)


def test_nothing_that_a_command_started_outlives_it(tmp_path: Path) -> None:
    hello = 'echo \'{"name": "words", "version": "1", "weights": "0"}\''
    (tmp_path / "words.sh").write_text(f"sleep 300 &\necho $! > pid\n{hello}\nwait\n")
    command(tmp_path, "", command=["sh", "words.sh"])
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if (
            not Path(f"/proc/{child}").exists()
            or "State:\tZ" in Path(f"/proc/{child}/status").read_text()
        ):
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child is still there")


def test_scores_of_another_version_or_against_something_else_are_other_scores(
    tmp_path: Path,
) -> None:
    ids = {
        scorer.scorer_id(command(tmp_path, "honest", against=against))
        for against in ("target", "prompt")
    }
    (tmp_path / "runs.txt").unlink()
    assert (
        len(
            {
                *ids,
                scorer.scorer_id(command(tmp_path, "moody")),
                scorer.scorer_id(command(tmp_path, "moody")),
            }
        )
        == 3
    )


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


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    return tmp_path


def by_code(folder: Path, name: str, better: str) -> Scorer:
    (folder / "card.toml").write_text(
        f'name = "mine"\nsummary = "s"\nbetter = "{better}"\nagainst = "unsteered"\ngauge = "{name}"\nweights = "."\n'
    )
    return scorer.load(str(folder / "card.toml"), "cpu")


def test_dinov2_is_the_cosine_of_class_tokens(pictures: Path) -> None:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    network = Dinov2Model(
        Dinov2Config(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
        )
    ).eval()
    network.save_pretrained(pictures)
    BitImageProcessor(
        size={"shortest_edge": 56},
        crop_size={"height": 56, "width": 56},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(pictures)
    dino = by_code(pictures, "dinov2-small", "higher")
    same, other = dino.measure([look("", pictures), look("", pictures, "b.png")])
    pixels = [
        torch.from_numpy(
            np.array(Image.open(pictures / f"{k}.png").resize((56, 56), Image.Resampling.BICUBIC))
        )
        / 127.5
        - 1
        for k in "ab"
    ]
    with torch.no_grad():
        tokens = network(torch.stack(pixels).permute(0, 3, 1, 2)).last_hidden_state[:, 0]
    assert same == pytest.approx(1, abs=1e-5)
    assert other == pytest.approx(
        float(torch.cosine_similarity(tokens[0], tokens[1], dim=0)), abs=0.02
    )
    assert dino.card.better == "higher"


def test_lpips_is_the_weighted_distance_of_normalised_activations(pictures: Path) -> None:
    import lpips
    from torchvision.models import alexnet

    torch.manual_seed(0)
    trunk = alexnet(weights=None).features.eval()
    torch.save(
        {f"features.{name}": weight for name, weight in trunk.state_dict().items()},
        pictures / "alexnet-owt-7be5be79.pth",
    )
    distance = by_code(pictures, "lpips-alex", "lower")
    same, other, odd = distance.measure(
        [look("", pictures), look("", pictures, "b.png"), look("", pictures, "small.png")]
    )
    heads = torch.load(
        Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth", map_location="cpu"
    )
    mean, std = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    seen = torch.stack(
        [
            (torch.from_numpy(np.array(Image.open(pictures / f"{k}.png"))) / 127.5 - 1 - mean) / std
            for k in "ab"
        ]
    ).permute(0, 3, 1, 2)
    expected = 0.0
    with torch.no_grad():
        for k, layer in enumerate(trunk):
            seen = layer(seen.clone())
            if (place := {1: 0, 4: 1, 7: 2, 9: 3, 11: 4}.get(k)) is not None:
                unit = seen / (seen.square().sum(1, keepdim=True).sqrt() + 1e-10)
                expected += float(
                    ((unit[0] - unit[1]).square() * heads[f"lin{place}.model.1.weight"][0])
                    .sum(0)
                    .mean()
                )
    assert same == 0
    assert other == pytest.approx(expected, rel=1e-3)
    assert "differ in size" in str(odd)


@pytest.mark.parametrize(
    ("name", "better", "lacks"),
    [
        ("dinov2-small", "higher", "config.json"),
        ("lpips-alex", "lower", "alexnet-owt-7be5be79.pth"),
    ],
)
def test_gauges_without_weights_say_what_is_missing(
    name: str, better: str, lacks: str, tmp_path: Path
) -> None:
    with pytest.raises(Missing, match=lacks):
        by_code(tmp_path, name, better)


@pytest.mark.parametrize(("name", "better"), [("dinov2-small", "higher"), ("lpips-alex", "lower")])
def test_gauges_that_were_not_downloaded_say_how(
    name: str, better: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    (tmp_path / "hps.toml").write_text(
        example(text, "toml").replace("/opt/hps/bin/python", sys.executable)
    )
    (tmp_path / "hps.py").write_text(example(text, "python"))
    monkeypatch.chdir(tmp_path)
    words = [
        "run",
        "--model",
        "toy",
        "--method",
        "prompt",
        "--limit",
        "2",
        "--prompts",
        "2",
        "--strength",
        "1",
        "--device",
        "cpu",
        "--name",
        "scored",
    ]
    answer = CliRunner().invoke(
        app, [*words, "--scorer", "./hps.toml", "--json"], catch_exceptions=False
    )
    assert answer.exit_code == 0
    assert '"better": "higher"' in answer.stdout
    page = (tmp_path / "runs" / "scored" / "report.html").read_text(encoding="utf-8")
    assert "hps, higher is better" in page
    assert "version 3.0 and weights sha256:0123abcd" in page


@pytest.mark.usefixtures("toy_plugins")
def test_a_run_with_pictures_that_could_not_be_scored_ends_with_exit_code_3_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = card(tmp_path, "error", better="lower", against="concept")
    (tmp_path / "words.py").write_text(
        SCRIPT.replace(
            '"bad" in asked["text"]', '"bad" in asked["text"] or not os.path.exists("healed")', 1
        )
    )
    words = [
        "run",
        "--model",
        "toy",
        "--method",
        "prompt",
        "--limit",
        "1",
        "--prompts",
        "2",
        "--strength",
        "1",
        "--device",
        "cpu",
        "--name",
        "ill",
    ]
    ill = CliRunner().invoke(app, [*words, "--scorer", str(path)], catch_exceptions=False)
    assert ill.exit_code == 3
    page = (tmp_path / "runs" / "ill" / "report.html").read_text(encoding="utf-8")
    assert "0 of 4 cells have this score. 4: too dark." in page
    (tmp_path / "healed").touch()
    assert (
        CliRunner().invoke(app, [*words, "--scorer", str(path)], catch_exceptions=False).exit_code
        == 0
    )
