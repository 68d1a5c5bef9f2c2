"""A made-up run in several wordings, with planted scores."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from htbench.core import content
from htbench.run import plan, wording_runs
from htbench.run.store import GeneratedImage, Store
from htbench.steering.concept import Concept
from htbench.steering.wording import Wording
from kit import report_run
from kit.planned_cells import plan_cells

METHODS = ("none", "prompt", "lineas", "hypertransport", "hypertransport-image")
GIVEN: Mapping[Wording, tuple[str, ...]] = {
    "synonym": ("prompt", "hypertransport"),
    "unknown": ("prompt", "hypertransport"),
    "image": ("hypertransport-image",),
}
"""Methods that are given each wording."""
SCORER = "emoji-clip-b@1"
Planted = Mapping[tuple[Wording, str], float]


def build(
    folder: Path,
    presence: Planted | None = None,
    *,
    wordings: tuple[Wording, ...] = ("synonym", "unknown", "image"),
    noise: float = 0.01,
    concepts: int = 12,
    methods: tuple[str, ...] = METHODS,
) -> Path:
    """A run whose methods have these presences at strength 1 in a wording, or 0.2.

    In a wording other than the canonical one, concepts are those of the run but the first.
    """
    report_run.build(
        folder,
        methods=methods,
        concepts=concepts,
        prompts=report_run.PROMPTS[:1],
        strengths=(0.0, 1.0),
        size=8,
    )
    planted, dice = presence or {}, np.random.default_rng(0)
    with Store.open(folder) as store:
        facts = store.facts()
        names = ["canonical", *wordings]
        facts["plan"] = {**facts["plan"], "wording": names}
        store.set_facts(plan=facts["plan"], wordings=dict.fromkeys(wordings, 1))
        _plant(store, "canonical", planted, noise, dice)
    for wording in wordings:
        own = [name for name in GIVEN[wording] if name in methods]
        said = [
            Concept(
                id=id_,
                kind=fact["kind"],
                text=fact["text"],
                template="{prompt} " + fact["text"],
                synonyms=(f"other {fact['text']}",),
                paraphrases=(f"odd {fact['text']}",),
            )
            for id_, fact in list(facts["concepts"].items())[1:]
        ]
        _build_part(folder, wording, own, said, facts)
        with Store.open(wording_runs.folder(folder, wording)) as store:
            _plant(store, wording, planted, noise, dice)
    return folder


def _build_part(
    folder: Path,
    wording: Wording,
    methods: list[str],
    said: list[Concept],
    facts: dict[str, object],
) -> None:
    settings = plan.build({"methods": ("none", *methods), "strengths": (1.0,), "prompts": 1})
    words = {"synonym": "synonyms", "unknown": "paraphrases"}.get(wording)
    with Store.open(wording_runs.folder(folder, wording)) as store:
        store.set_facts(
            **{name: value for name, value in facts.items() if name != "grid"},
            wording=wording,
            repeats=content.digest("grid"),
            phrasings={each.id: [*(getattr(each, words) if words else [""])] for each in said},
        )
        given = [replace(each, text=f"{wording} {each.text}") for each in said]
        plan_cells(store, settings, given, report_run.PROMPTS[:1], model="emoji")
        pictures = {row.image: report_run._picture(row, 8) for row in reversed(store.rows())}
        images = [GeneratedImage(key=key, png=png) for key, png in pictures.items()]
        store.add_images(images, seconds=0.1, batch=1)
        store.add_scores(score for row in store.rows() for score in report_run._scores(row))


def _plant(
    store: Store, wording: Wording, planted: Planted, noise: float, dice: np.random.Generator
) -> None:
    store.add_scores(
        (
            row.id,
            "presence",
            SCORER,
            planted.get((wording, row.method), 0.2) + noise * float(dice.normal()),
        )
        for row in store.rows()
        if row.is_steered
    )
