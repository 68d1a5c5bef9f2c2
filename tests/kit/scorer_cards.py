"""Scorers as users bring them: a command with a bad habit, cards, and inputs to be scored."""

import sys
from pathlib import Path

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
name = "other" if habit == "stranger" else "words"
declared = {"name": name, "version": "1", "weights": str(run if habit == "moody" else 0)}
print("loading" if habit == "chatty" else json.dumps(declared), flush=True)
for line in sys.stdin:
    question = json.loads(line)
    answer = {"id": question["id"], "score": len(question["text"])}
    if "bad" in question["text"]:
        if habit == "die":
            sys.exit("out of memory")
        if habit == "sleep":
            time.sleep(30)
        if habit == "long":
            print("9" * 3_000_000, end="", flush=True)
        answer |= {
            "nan": {"score": float("nan")},
            "surrogate": {"score": None, "error": chr(0xD800)},
            "huge": {"score": 10**400},
            "text": {"score": "high"},
            "true": {"score": True},
            "id": {"id": 77},
            "error": {"score": None, "error": "too dark"},
            "nothing": {"score": None},
        }.get(habit, {})
    is_bad = habit == "print" and "bad" in question["text"]
    print("oops" if is_bad else json.dumps(answer), flush=True)
"""
"""A command that scores a picture by the length of its text, and misbehaves as its habit says."""


def command_card(folder: Path, habit: str, **settings: object) -> Path:
    """The path of a card of the command with that habit, written into `folder`."""
    (folder / "words.py").write_text(SCRIPT)
    fields = {
        "name": "words",
        "summary": "length",
        "better": "higher",
        "against": "target",
        "command": [sys.executable, "words.py", habit],
        **settings,
    }
    lines = [f"{name} = {value!r}\n" for name, value in fields.items()]
    (folder / "words.toml").write_text("".join(lines))
    return folder / "words.toml"


def command(folder: Path, habit: str, **settings: object) -> Scorer:
    """The command with that habit, as a scorer."""
    return scorer.load(str(command_card(folder, habit, **settings)), "cpu")


def with_weights(folder: Path, name: str, better: str) -> Scorer:
    """The installed scorer `name` with the weights that are in `folder`."""
    (folder / "card.toml").write_text(
        f'name = "mine"\nsummary = "s"\nbetter = "{better}"\nagainst = "unsteered"\n'
        f'gauge = "{name}"\nweights = "."\n'
    )
    return scorer.load(str(folder / "card.toml"), "cpu")


def scorer_input(
    target: str, folder: Path = Path(), image: str = "a.png", unsteered: str = "a.png"
) -> ScorerInput:
    """An input with that target prompt, of pictures in `folder`."""
    return ScorerInput(
        image=folder / image, unsteered=folder / unsteered, target=target, concept="c", prompt="p"
    )
