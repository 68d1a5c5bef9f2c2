"""What of a run can be compared: its pictures at one strength, by method, concept, prompt and seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import UNSTEERED
from htbench.judging.schedule import PromptSeed
from htbench.run.store import Store
from htbench.run.summary import Summary

ImageKey = tuple[str, str, str, int]
"""Method, concept, prompt and seed."""


@dataclass(frozen=True, kw_only=True)
class ComparablePictures:
    """Pictures to compare, and what a judge may be told about them."""

    methods: tuple[str, ...]
    concepts: dict[str, str]
    """Words of each concept, by id. Concepts that have none, being given by pictures, cannot be asked about."""
    prompt_seeds: tuple[PromptSeed, ...]
    files: dict[ImageKey, str]
    circular: dict[str, tuple[str, ...]]
    """Methods that read concepts with an encoder, by encoder."""
    scorer: str
    """The encoder of the run's leaderboard, `name@revision`."""
    prompt_method: str = ""
    """A method that asks for concepts in the prompt, if there is one."""


def find_pictures(
    store: Store, *, methods: Iterable[str] = (), strength: float | None = 1.0
) -> ComparablePictures:
    """What can be compared in a run at a strength, None for the tuned ones, by all its methods or those that are named.

    Raises:
        UnknownName: if the run has no such method.
        UsageError: if there is nothing to compare.
    """
    summary = Summary(store)
    chosen = tuple(dict.fromkeys(methods)) or tuple(summary.methods)
    for method in chosen:
        if method not in summary.methods:
            raise UnknownName("method of the run", method, summary.methods)
    if len(chosen) < 2:
        raise UsageError(
            f"a tournament needs two methods, there is {', '.join(chosen) or 'none'}",
            remedy="Run more methods, or name two.",
        )
    files: dict[ImageKey, str] = {}
    units: dict[PromptSeed, None] = {}
    for method in chosen:
        query = "SELECT concept, prompt, seed, file FROM cells JOIN images ON key = image WHERE method = ? AND strength = ? ORDER BY place"
        for concept, prompt, seed, file in store.select(
            query, method, _strength(summary, method, strength)
        ):
            units[prompt, seed] = None
            if file is not None:
                files[method, concept, prompt, seed] = file
    if not files:
        raise UsageError(
            "the run has no pictures to compare at this strength",
            remedy="Choose another --strength of the run, or finish it.",
        )
    facts, cards = _mapping(summary.facts.get("concepts")), _mapping(summary.facts.get("methods"))
    order = [
        concept
        for concept, _ in store.select(
            "SELECT concept, min(place) FROM cells GROUP BY concept ORDER BY 2"
        )
    ]
    return ComparablePictures(
        methods=chosen,
        concepts={
            concept: words
            for concept in order
            if (words := str(_mapping(facts.get(concept)).get("text") or ""))
        },
        prompt_seeds=tuple(units),
        files=files,
        circular=_circular(summary, chosen),
        scorer=summary.scorer,
        prompt_method=next(
            (
                method
                for method in chosen
                if method == "prompt" or _mapping(cards.get(method)).get("kind") == "prompt"
            ),
            "",
        ),
    )


def _strength(summary: Summary, method: str, strength: float | None) -> float:
    if method == UNSTEERED:
        return 0.0
    if strength is None:
        tuned = _mapping(summary.facts.get("tuned")).get(method)
        if tuned is None:
            raise UsageError(
                f"no strength was chosen for {method} in this run",
                remedy="Run it with --tune-strength, or give a number.",
            )
        return float(tuned["strength"])
    if strength not in summary.strengths:
        raise UsageError(
            f"the run has no strength {strength:g}",
            remedy=f"It has {', '.join(f'{each:g}' for each in summary.strengths)}.",
        )
    return strength


def _circular(summary: Summary, methods: Iterable[str]) -> dict[str, tuple[str, ...]]:
    cards = _mapping(summary.facts.get("methods"))
    encoders = sorted(
        {
            name
            for card in cards.values()
            for name in _mapping(_mapping(card).get("training")).get("encoders") or ()
        }
    )
    return {
        encoder: tuple(method for method in summary.circular_methods(encoder) if method in methods)
        for encoder in encoders
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
