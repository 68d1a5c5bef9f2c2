"""A made-up run in a real store, for tests of the report.

To look at the page: `PYTHONPATH=tests python -m kit.report_run FOLDER`.
"""

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
from kit.planned_cells import plan_cells

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
TITLE = "Controlling Language and Diffusion Models by Transporting Activations"
PAPER = f"Rodriguez et al. {TITLE}. 2024. https://arxiv.org/abs/2410.23054"
BIBTEX = f"@inproceedings{{rodriguez2025,\n  title = {{{TITLE}}},\n  year = {{2025}}\n}}"
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
    """A run of which the first `made` images exist; the others are pending.

    If `problem` is given, the first of those failed with it. `text` stands in for the words of
    every concept, the command and the summaries of methods.
    """
    selection = _concepts(concepts, text)
    settings = plan.build(
        {"methods": tuple(methods), "strengths": tuple(strengths), "prompts": len(prompts)}
    )
    with Store.open(folder) as store:
        store.set_facts(
            plan=settings.model_dump(), command=text or COMMAND, **_facts(selection, methods, text)
        )
        plan_cells(store, settings, selection, prompts, model="emoji")
        rows = store.rows()
        pictures = {row.image: row for row in reversed(rows)}
        order = list(dict.fromkeys(row.image for row in rows))
        images = [
            GeneratedImage(key=key, png=_picture(pictures[key], size)) for key in order[:made]
        ]
        store.add_images(images, seconds=0.034, batch=16)
        if problem:
            store.add_failure(order[made : made + 1], Failure(kind="generate", message=problem))
        if scored:
            store.add_scores(score for row in store.rows() if row.file for score in _scores(row))
        for method in methods if timed else ():
            for k, concept in enumerate(selection):
                seconds = SECONDS.get(method, 0.5) * (0.9 + 0.03 * k)
                store.add_timing("towards", method, concept.id, seconds, "cpu")
    return folder


def _concepts(number: int, text: str) -> list[Concept]:
    mixed = [
        (kind, words)
        for turn in range(4)
        for kind, all_words in WORDS.items()
        for words in all_words[turn : turn + 1]
    ]
    return [
        Concept(id=words.split()[-1], kind=kind, text=text or words, template="{prompt} " + words)
        for kind, words in mixed[:number]
    ]


def _facts(concepts: Sequence[Concept], methods: Sequence[str], text: str) -> dict[str, object]:
    return {
        "environment": {
            "htbench": "0.1.0",
            "python": "3.11.9",
            "torch": "2.9.0",
            "platform": "Linux-x86_64",
            "cpu": "2 cores",
            "threads": 1,
            "device": "cpu",
            "started": "2025-11-22T20:15:00+00:00",
        },
        "model": {
            "name": "emoji",
            "revision": "1",
            "sites": 12,
            "channels": 1536,
            "size": 64,
            "licence": "Apache-2.0",
            "about": "A one-step generator of composed scenes, shipped with the package.",
        },
        "scorer": {"name": "emoji-clip-b", "revision": "1", "scale": 100.0, "id": "emoji-clip-b@1"},
        "concept_set": {
            "name": "emoji",
            "version": "1",
            "licence": "CC-BY-4.0",
            "about": "Things, colours and styles of composed scenes.",
            "test": 40,
        },
        "concepts": {
            concept.id: {"kind": concept.kind, "text": concept.text, "split": "test"}
            for concept in concepts
        },
        "methods": {method: _method_facts(method, text) for method in methods},
    }


def _method_facts(method: str, text: str) -> dict[str, object]:
    kind = KINDS.get(method, "per-concept")
    amortised = kind == "amortised"
    trained = {
        "seconds": 1380.0,
        "device": "cpu",
        "concepts": [f"train-{k}" for k in range(160)],
        "encoders": ["emoji-clip-a"],
    }
    untrained = {"seconds": 0.0, "device": "", "concepts": [], "encoders": []}
    speedup = {
        "what": "speed-up over Linear-AcT",
        "value": "3600x",
        "conditions": "SDXL-DMD2, one H100, 512 x 512",
    }
    return {
        "summary": text or f"What {method} does, in one sentence that a reader can follow.",
        "kind": kind,
        "cost": "prediction" if amortised else "optimisation",
        "reads": ["image"] if method.endswith("-image") else ["text"],
        "paper": "https://arxiv.org/abs/2605.08254" if amortised else PAPER,
        "bibtex": BIBTEX,
        "settings": {"sites": ["*.norm"], "quantiles": 0.95},
        "digest": content.digest(method),
        "published": [speedup],
        "training": trained if amortised else untrained,
        "leaked": [],
    }


def _scores(row: CellRow) -> list[tuple[int, str, str, float]]:
    dice = random.Random(f"{row.method}{row.concept}{row.prompt}{row.strength}")
    ease = 0.6 + random.Random(row.concept).random()
    harm = HARM.get(row.method, 2.0)
    gain = SKILL.get(row.method, 0.08) * ease * row.strength * (1 + 0.2 * dice.random())
    presence = min(0.99, 0.08 + 5 * gain + 0.05 * dice.random())
    prompt_preservation = 0.31 - 0.18 * harm * gain - 0.02 * dice.random() * row.strength
    loss = row.strength * (harm * gain + 0.05 * dice.random()) if row.strength else 0.0
    values = {
        "concept_gain": gain,
        "presence": presence,
        "class_probability": min(0.95, 0.02 + 3 * gain),
        "prompt_preservation": prompt_preservation,
        "image_preservation": 1.0 - loss,
    }
    return [(row.id, metric, "emoji-clip-b@1", value) for metric, value in values.items()]


def _picture(row: CellRow, size: int) -> bytes:
    """A scene in the prompt's colours; the stronger the steering, the more of the concept's."""
    scene, idea = random.Random(row.prompt), random.Random(row.concept)
    method, strength = random.Random(row.method + row.concept), abs(row.strength)
    image = Image.new("RGB", (size, size), _colour(scene, 120))
    draw = ImageDraw.Draw(image)
    draw.rectangle(
        (0, size * 0.62, size, size), fill=tuple(scene.randrange(40, 200) for _ in range(3))
    )
    draw.ellipse((size * 0.3, size * 0.3, size * 0.7, size * 0.85), fill=_colour(scene))
    side = size * 0.35 * strength * (0.7 + 0.5 * method.random())
    left, top = method.random() * size * 0.6, method.random() * size * 0.5
    draw.ellipse((left, top, left + side, top + side), fill=_colour(idea))
    tint = Image.new("RGB", image.size, _colour(idea))
    noise = Image.effect_noise(image.size, 40).convert("RGB") if size > 128 else tint
    tinted = Image.blend(image, tint, 0.3 * strength)
    buffer = BytesIO()
    Image.blend(tinted, noise, 0.1 * strength).save(buffer, "PNG")
    return buffer.getvalue()


def _colour(dice: random.Random, darkest: int = 0) -> tuple[int, int, int]:
    return dice.randrange(darkest, 256), dice.randrange(darkest, 256), dice.randrange(darkest, 256)


if __name__ == "__main__":
    print(report.write(build(Path(sys.argv[1]))))
