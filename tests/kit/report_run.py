"""A made-up run in a real store, for tests of the report and for looking at it: `python tests/report_run.py FOLDER`."""

import random
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from htbench import report
from htbench.core import content
from htbench.run import plan
from htbench.run.store import CellRow, Failure, GeneratedImage, Store
from htbench.steering.concept import Concept

METHODS = ("none", "prompt", "mean-shift", "linear-act", "lineas", "hypertransport")
PROMPTS = (
    "a cat on a beach",
    "a house beside a river at night",
    "two apples on a table",
    "a train in the snow",
)
WORDS = {
    "object": ("with lemon", "with umbrella", "with butterfly", "with balloon"),
    "colour": ("in blue tones", "in autumn colours", "in pastel"),
    "style": ("as a linocut", "in pixel art", "in watercolour"),
    "weather": ("in fog", "in a storm"),
}
SKILL = {
    "none": 0.0,
    "prompt": 0.12,
    "mean-shift": 0.05,
    "linear-act": 0.1,
    "lineas": 0.125,
    "hypertransport": 0.118,
}
HARM = {
    "none": 0.0,
    "prompt": 2.9,
    "mean-shift": 3.4,
    "linear-act": 2.4,
    "lineas": 1.9,
    "hypertransport": 2.1,
}
SECONDS = {
    "none": 2e-7,
    "prompt": 4e-6,
    "mean-shift": 1.8,
    "linear-act": 2.6,
    "lineas": 41.0,
    "hypertransport": 0.012,
}
KINDS = {
    "none": "none",
    "prompt": "prompt",
    "hypertransport": "amortised",
    "hypertransport-image": "amortised",
}
PAPERS = {"amortised": "https://arxiv.org/abs/2605.08254"}
COMMAND = "htbench run --model emoji --concepts test --prompts 4 --name looking"


def build(
    folder: Path,
    *,
    methods: Sequence[str] = METHODS,
    concepts: int = 12,
    prompts: Sequence[str] = PROMPTS,
    strengths: Sequence[float] = (0.0, 0.5, 1.0),
    text: str = "",
    made: int = 10**6,
    problem: str | None = None,
    scored: bool = True,
    timed: bool = True,
    size: int = 64,
) -> Path:
    """A run of which the first `made` images exist; the next one failed with `problem`, the others are pending.

    `text` stands in for every concept's words, the command and the summaries of methods.
    """
    chosen = _concepts(concepts, text)
    settings = plan.build(
        {"methods": tuple(methods), "strengths": tuple(strengths), "prompts": len(prompts)}
    )
    cells = list(plan.cells(settings, chosen, prompts))
    with Store.open(folder) as store:
        store.set_facts(
            plan=settings.model_dump(), command=text or COMMAND, **_facts(chosen, methods, text)
        )
        keyed = [
            (
                cell,
                plan.image_key(
                    cell,
                    model=content.digest("emoji"),
                    method_digest=content.digest(cell.method),
                    batch=16,
                ),
            )
            for cell in cells
        ]
        store.plan_cells(
            (
                (cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key)
                for cell, key in keyed
            ),
            grid=content.digest("grid"),
        )
        rows = store.rows()
        pictures = {row.image: row for row in reversed(rows)}
        order = list(dict.fromkeys(row.image for row in rows))
        store.add_images(
            [GeneratedImage(key=key, png=_picture(pictures[key], size)) for key in order[:made]],
            seconds=0.034,
            batch=16,
        )
        if problem:
            store.add_failure(order[made : made + 1], Failure(kind="generate", message=problem))
        if scored:
            store.add_scores(score for row in store.rows() if row.file for score in _scores(row))
        for method in methods if timed else ():
            for k, concept in enumerate(chosen):
                store.add_timing(
                    "towards",
                    method,
                    concept.id,
                    SECONDS.get(method, 0.5) * (0.9 + 0.03 * k),
                    "cpu",
                )
    return folder


def _concepts(number: int, text: str) -> list[Concept]:
    mixed = [
        (kind, words)
        for turn in range(4)
        for kind, all_words in WORDS.items()
        for words in all_words[turn : turn + 1]
    ]
    return [
        Concept(
            id=f"{words.split()[-1]}", kind=kind, text=text or words, template="{prompt} " + words
        )
        for kind, words in mixed[:number]
    ]


def _facts(concepts: Sequence[Concept], methods: Sequence[str], text: str) -> dict[str, object]:
    trained = {
        "seconds": 1380.0,
        "device": "cpu",
        "concepts": [f"train-{k}" for k in range(160)],
        "encoders": ["emoji-clip-a"],
    }
    untrained = {"seconds": 0.0, "device": "", "concepts": [], "encoders": []}
    cards = {
        method: {
            "summary": text or f"What {method} does, in one sentence that a reader can follow.",
            "kind": KINDS.get(method, "per-concept"),
            "cost": "prediction" if KINDS.get(method) == "amortised" else "optimisation",
            "reads": ["image"] if method.endswith("-image") else ["text"],
            "paper": PAPERS.get(KINDS.get(method, ""), "")
            or "Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054",
            "bibtex": "@inproceedings{rodriguez2025,\n  title = {Controlling Language and Diffusion Models by Transporting Activations},\n  year = {2025}\n}",
            "settings": {"sites": ["*.norm"], "quantiles": 0.95},
            "digest": content.digest(method),
            "published": [
                {
                    "what": "speed-up over Linear-AcT",
                    "value": "3600x",
                    "conditions": "SDXL-DMD2, one H100, 512 x 512",
                }
            ],
            "training": trained if KINDS.get(method) == "amortised" else untrained,
            "leaked": [],
        }
        for method in methods
    }
    return {
        "environment": {
            "htbench": "0.1.0", "python": "3.11.9", "torch": "2.9.0", "platform": "Linux-x86_64", "cpu": "2 cores", "threads": 1, "device": "cpu",
            "started": "2025-11-22T20:15:00+00:00",
        },
        "model": {
            "name": "emoji", "revision": "1", "sites": 12, "channels": 1536, "size": 64, "licence": "Apache-2.0",
            "about": "A one-step generator of composed scenes, shipped with the package.",
        },
        "scorer": {"name": "emoji-clip-b", "revision": "1", "scale": 100.0, "id": "emoji-clip-b@1"},
        "concept_set": {"name": "emoji", "version": "1", "licence": "CC-BY-4.0", "about": "Things, colours and styles of composed scenes.", "test": 40},
        "concepts": {concept.id: {"kind": concept.kind, "text": concept.text, "split": "test"} for concept in concepts},
        "methods": cards,
    }  # fmt: skip


def _scores(row: CellRow) -> list[tuple[int, str, str, float]]:
    dice = random.Random(f"{row.method}{row.concept}{row.prompt}{row.strength}")
    easy = 0.6 + random.Random(row.concept).random()
    gain = SKILL.get(row.method, 0.08) * easy * row.strength * (1 + 0.2 * dice.random())
    values = {
        "concept_gain": gain,
        "presence": min(0.99, 0.08 + 5 * gain + 0.05 * dice.random()),
        "identity": min(0.95, 0.02 + 3 * gain),
        "prompt_preservation": 0.31
        - 0.18 * HARM.get(row.method, 2.0) * gain
        - 0.02 * dice.random() * row.strength,
        "image_preservation": 1.0
        - row.strength * (HARM.get(row.method, 2.0) * gain + 0.05 * dice.random())
        if row.strength
        else 1.0,
    }
    return [(row.id, metric, "emoji-clip-b@1", value) for metric, value in values.items()]


def _picture(row: CellRow, size: int) -> bytes:
    """A scene in the prompt's colours; the stronger the steering, the more of the concept's."""
    scene, idea, method = (
        random.Random(row.prompt),
        random.Random(row.concept),
        random.Random(row.method + row.concept),
    )
    image = Image.new("RGB", (size, size), tuple(scene.randrange(120, 256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    draw.rectangle(
        (0, size * 0.62, size, size), fill=tuple(scene.randrange(40, 200) for _ in range(3))
    )
    draw.ellipse(
        (size * 0.3, size * 0.3, size * 0.7, size * 0.85),
        fill=tuple(scene.randrange(256) for _ in range(3)),
    )
    side = size * 0.35 * abs(row.strength) * (0.7 + 0.5 * method.random())
    left, top = method.random() * size * 0.6, method.random() * size * 0.5
    draw.ellipse(
        (left, top, left + side, top + side), fill=tuple(idea.randrange(256) for _ in range(3))
    )
    tint = Image.new("RGB", image.size, tuple(idea.randrange(256) for _ in range(3)))
    noise = Image.effect_noise(image.size, 40).convert("RGB") if size > 128 else tint
    buffer = BytesIO()
    Image.blend(
        Image.blend(image, tint, 0.3 * abs(row.strength)), noise, 0.1 * abs(row.strength)
    ).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    print(report.write(build(Path(sys.argv[1]))))
