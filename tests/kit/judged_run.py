"""Small runs to judge: pictures of one colour, nearer to the concept's for a better method."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from htbench.core import content
from htbench.core.display import Display
from htbench.judging import card as judge_cards
from htbench.judging.budget import Budget
from htbench.judging.calibration import CriterionCalibration, read_calibration
from htbench.judging.card import JudgeCard
from htbench.judging.judge import JudgeContext
from htbench.judging.known_pairs import plan_calibration
from htbench.judging.leaderboard import TournamentResult, read_result
from htbench.judging.ledger import Ledger
from htbench.judging.prepare import TournamentOptions, prepare_tournament
from htbench.judging.schedule import ScheduleSettings
from htbench.judging.tournament import Tournament
from htbench.run import plan
from htbench.run.store import CellRow, GeneratedImage, Store
from htbench.steering.concept import Concept
from kit.judge_servers import COLOURS, SHY
from kit.planned_cells import plan_cells

SKILL = {"none": 0.0, "poor": 0.3, "shy": 0.5, "good": 0.8}
"""How much of the concept's colour a method's pictures have."""
PROMPTS = ("a cat", "a house")
CONCURRENCY = 8


def build(
    folder: Path,
    *,
    methods: Sequence[str] = tuple(SKILL),
    concepts: int = 12,
    prompts: Sequence[str] = PROMPTS[:1],
    noise: float = 0.15,
    reads: str = "emoji-clip-a",
    strengths: Sequence[float] = (1.0,),
) -> Path:
    """A finished run; `shy` reads concepts with the encoder `reads`."""
    colours = [
        Concept(
            id=f"colour/{name}", kind="colour", text=f"in {name}", template=f"{{prompt}} in {name}"
        )
        for name in list(COLOURS)[:concepts]
    ]
    settings = plan.build(
        {"methods": methods, "strengths": tuple(strengths), "prompts": len(prompts), "batch": 1}
    )
    encoders = {method: [reads] if method == "shy" else [] for method in methods}
    with Store.open(folder) as store:
        store.set_facts(
            scorer={"name": "emoji-clip-b", "id": "emoji-clip-b@1"},
            concepts={concept.id: {"text": concept.text, "kind": "colour"} for concept in colours},
            methods={method: {"training": {"encoders": encoders[method]}} for method in methods},
        )
        plan_cells(store, settings, colours, prompts, model="m")
        pictures = {row.image: picture(row, noise) for row in store.rows()}
        images = [GeneratedImage(key=key, png=png) for key, png in pictures.items()]
        store.add_images(images, seconds=0.1, batch=1)
    return folder


def card(folder: Path, url: str, **endpoint: object) -> JudgeCard:
    """A judge of kind `openai` at `url`, with the shipped rubrics, in a folder of its own."""
    shutil.copytree(content.folder("judges") / "openai", folder, dirs_exist_ok=True)
    settings = {
        "url": url,
        "url_variable": "TEST_JUDGE_URL",
        "key_variable": "TEST_JUDGE_KEY",
        "needs_key": False,
        "timeout": 5.0,
        "retries": 5,
        **endpoint,
    }
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
    text = (folder / "card.toml").read_text().partition("[endpoint]")[0]
    changes = {
        '"gpt-4o-2024-11-20"': '"scripted"',
        "size = 512": "size = 32",
        'format = "jpeg"': 'format = "png"',
    }
    for shipped, small in changes.items():
        text = text.replace(shipped, small)
    (folder / "card.toml").write_text(text + "[endpoint]\n" + "\n".join(lines) + "\n")
    return judge_cards.load_judge_card(str(folder))


def tournament(folder: Path, ledger: Ledger, judge: JudgeCard, **options: Any) -> Tournament:
    """A tournament by presence alone and without controls, unless `options` say otherwise.

    They are fields of `TournamentOptions` or of its parts.
    """
    options = {"criteria": ("presence",), "controls": 0, **options}
    parts = {"schedule": ScheduleSettings, "context": JudgeContext, "budget": Budget}
    settings = {part: kind(**_take_fields(kind, options)) for part, kind in parts.items()}
    return prepare_tournament(
        folder, ledger, judge, TournamentOptions(**settings, **options), Display()
    )


def judged(folder: Path, judge: JudgeCard, **options: Any) -> TournamentResult:
    """The result of a tournament that was played as far as its budget allows."""
    with Ledger.open(folder) as ledger:
        played = tournament(folder, ledger, judge, **options)
        played.play()
        return read_result(ledger, played.id, rounds=200)


def calibrate(folder: Path, judge: JudgeCard, **options: Any) -> CriterionCalibration:
    """The calibration of a judge by the first criterion of a tournament with these options."""
    with Ledger.open(folder) as ledger:
        calibration = plan_calibration(tournament(folder, ledger, judge, **options))
        assert calibration
        calibration.play()
        return read_calibration(ledger, calibration.id)[0]


def tables(folder: Path, judge: JudgeCard) -> str:
    """All that the result of a tournament by `CONCURRENCY` calls at once tells, as text."""
    return json.dumps(judged(folder, judge, concurrency=CONCURRENCY).facts(), sort_keys=True)


def write_tables(folder: Path, judge: Path, out: Path) -> None:
    """The same for the judge's card in the folder `judge`, in a process that a test can kill."""
    out.write_text(tables(folder, judge_cards.load_judge_card(str(judge))))


def ratings(result: TournamentResult) -> dict[str, float]:
    """Ratings of the methods by the first criterion."""
    ranking = result.criteria[0].ranking
    assert ranking
    return dict(zip(ranking.rating.names, map(float, ranking.rating.ratings), strict=True))


def _take_fields(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    """The options that are fields of a class of settings, taken out of `options`."""
    return {field.name: options.pop(field.name) for field in fields(kind) if field.name in options}


def picture(row: CellRow, noise: float) -> bytes:
    """Grey, with the concept's colour in it; pictures of `shy` have a corner of another colour."""
    dice = random.Random(f"{row.method}{row.concept}{row.prompt}")
    skill = SKILL.get(row.method, 0.4) + noise * dice.uniform(-1, 1)
    share = row.strength * min(1.0, max(0.0, skill))
    colour = np.array(COLOURS[row.concept.partition("/")[2]]) * share + 128 * (1 - share)
    pixels = np.tile(colour.round().astype(np.uint8), (32, 32, 1))
    if row.method == "shy" and row.strength:
        pixels[:3, :3] = SHY
    file = BytesIO()
    Image.fromarray(pixels, "RGB").save(file, "PNG")
    return file.getvalue()


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
