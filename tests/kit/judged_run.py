"""Small runs to judge: pictures of one colour each, the nearer to the concept's the better the method."""

import random
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from htbench.core import content
from htbench.core.display import Display
from htbench.judging import card as judge_cards
from htbench.judging.card import JudgeCard
from htbench.judging.leaderboard import TournamentResult, read_result
from htbench.judging.ledger import Ledger
from htbench.judging.prepare import TournamentOptions, prepare_tournament
from htbench.judging.tournament import Tournament
from htbench.run import plan
from htbench.run.store import CellRow, GeneratedImage, Store
from htbench.steering.concept import Concept
from kit.judge_servers import COLOURS, SHY

SKILL = {"none": 0.0, "poor": 0.3, "shy": 0.5, "good": 0.8}
"""How much of the concept's colour a method's pictures have."""
PROMPTS = ("a cat", "a house")


def build(
    folder: Path,
    *,
    methods: Sequence[str] = tuple(SKILL),
    concepts: int = 12,
    prompts: Sequence[str] = PROMPTS[:1],
    noise: float = 0.15,
    reads: str = "emoji-clip-a",
) -> Path:
    """A finished run; `shy` reads concepts with the encoder `reads`."""
    chosen = [
        Concept(
            id=f"colour/{name}", kind="colour", text=f"in {name}", template=f"{{prompt}} in {name}"
        )
        for name in list(COLOURS)[:concepts]
    ]
    settings = plan.build({"methods": tuple(methods), "strengths": (1.0,), "prompts": len(prompts)})
    cells = list(plan.cells(settings, chosen, prompts))
    with Store.open(folder) as store:
        store.set_facts(
            scorer={"name": "emoji-clip-b", "id": "emoji-clip-b@1"},
            concepts={
                concept.id: {"text": concept.text, "kind": concept.kind} for concept in chosen
            },
            methods={
                method: {"training": {"encoders": [reads] if method == "shy" else []}}
                for method in methods
            },
        )
        keyed = [
            (
                cell,
                plan.image_key(
                    cell,
                    model=content.digest("m"),
                    method_digest=content.digest(cell.method),
                    batch=1,
                ),
            )
            for cell in cells
        ]
        store.plan_cells(
            (cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key)
            for cell, key in keyed
        )
        pictures = {row.image: _picture(row, noise) for row in store.rows()}
        store.add_images(
            [GeneratedImage(key=key, png=png) for key, png in pictures.items()],
            seconds=0.1,
            batch=1,
        )
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
    shipped = (
        (folder / "card.toml")
        .read_text()
        .partition("[endpoint]")[0]
        .replace('"gpt-4o-2024-11-20"', '"scripted"')
    )
    small = shipped.replace("size = 512", "size = 32").replace('format = "jpeg"', 'format = "png"')
    (folder / "card.toml").write_text(small + "[endpoint]\n" + "\n".join(lines) + "\n")
    return judge_cards.load_judge_card(str(folder))


def tournament(folder: Path, ledger: Ledger, judge: JudgeCard, **wish: object) -> Tournament:
    """A tournament by presence alone, unless wished otherwise."""
    return prepare_tournament(
        folder,
        ledger,
        judge,
        TournamentOptions(**{"criteria": ("presence",), "controls": 0, **wish}),
        Display(),
    )  # type: ignore[arg-type]


def judged(folder: Path, judge: JudgeCard, **wish: object) -> TournamentResult:
    """The board of a tournament that was played as far as it goes."""
    with Ledger.open(folder) as ledger:
        entered = tournament(folder, ledger, judge, **wish)
        entered.play()
        return read_result(ledger, entered.id, rounds=200)


def ratings(found: TournamentResult) -> dict[str, float]:
    """By method, of the first criterion."""
    ranking = found.criteria[0].ranking
    assert ranking
    return dict(zip(ranking.rating.names, map(float, ranking.rating.ratings), strict=True))


def _picture(row: CellRow, noise: float) -> bytes:
    """Grey, with the concept's colour in it; a corner tells pictures of `shy`."""
    dice = random.Random(f"{row.method}{row.concept}{row.prompt}")
    share = (
        0.0
        if row.strength == 0
        else min(1.0, max(0.0, SKILL.get(row.method, 0.4) + noise * dice.uniform(-1, 1)))
    )
    colour = np.array(COLOURS[row.concept.partition("/")[2]]) * share + 128 * (1 - share)
    pixels = np.tile(colour.round().astype(np.uint8), (32, 32, 1))
    if row.method == "shy" and row.strength:
        pixels[:3, :3] = SHY
    file = BytesIO()
    Image.fromarray(pixels, "RGB").save(file, "PNG")
    return file.getvalue()


def _toml(value: object) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )
