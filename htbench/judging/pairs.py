"""The pictures of a run at one strength that can be compared."""

from collections.abc import Iterable
from dataclasses import dataclass

from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import UNSTEERED
from htbench.judging.schedule import PromptSeed
from htbench.run.store import Store
from htbench.run.summary import Summary

ImageKey = tuple[str, str, str, int]
"""Method, concept, prompt and seed."""


@dataclass(frozen=True, kw_only=True)
class ComparablePictures:
    """Pictures to compare, by method, concept, prompt and seed."""

    methods: tuple[str, ...]
    concepts: dict[str, str]
    """The text of each concept, by id; a concept given by pictures alone cannot be judged."""
    prompt_seeds: tuple[PromptSeed, ...]
    files: dict[ImageKey, str]
    circular: dict[str, tuple[str, ...]]
    """Methods that read concepts with an encoder, by the encoder's name."""
    scorer: str
    """The encoder of the run's leaderboard, `name@revision`."""
    prompt_method: str = ""
    """A method that names the concept in the prompt, if there is one."""


def find_pictures(
    store: Store, *, methods: Iterable[str] = (), strength: float | None = 1.0, fewest: int = 2
) -> ComparablePictures:
    """The pictures of `methods`, or of all methods of the run, at a strength.

    For a strength of None, each method is taken at its tuned strength.

    Raises:
        UnknownName: if the run has no such method.
        UsageError: if there are fewer methods than `fewest`, or no pictures.
    """
    summary = Summary(store)
    if summary.facts.plan.task != "add":
        raise UsageError(
            f"this run is of task {summary.facts.plan.task!r}, and pictures are compared by how "
            "well they show a concept that was added",
            remedy="Compare those of a run without --task.",
        )
    names = _method_names(summary, methods, fewest)
    files: dict[ImageKey, str] = {}
    prompt_seeds: dict[PromptSeed, None] = {}
    query = """SELECT concept, prompt, seed, file FROM cells JOIN images ON key = image
               WHERE method = ? AND strength = ? ORDER BY place"""
    for method in names:
        rows = store.select(query, method, _strength(summary, method, strength))
        for concept, prompt, seed, file in rows:
            prompt_seeds[prompt, seed] = None
            if file is not None:
                files[method, concept, prompt, seed] = file
    if not files:
        raise UsageError(
            "the run has no pictures to compare at this strength",
            remedy="Choose another --strength of the run, or finish it.",
        )
    return ComparablePictures(
        methods=names,
        concepts=_concept_texts(store, summary),
        prompt_seeds=tuple(prompt_seeds),
        files=files,
        circular=_circular(summary, names),
        scorer=summary.scorer,
        prompt_method=next((name for name in names if _is_prompting(summary, name)), ""),
    )


def _method_names(summary: Summary, methods: Iterable[str], fewest: int) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(methods)) or tuple(summary.methods)
    for name in names:
        if name not in summary.methods:
            raise UnknownName("method of the run", name, summary.methods)
    if len(names) < fewest:
        raise UsageError(
            f"a tournament needs two methods, there is {', '.join(names) or 'none'}",
            remedy="Run more methods, or name two.",
        )
    return names


def _concept_texts(store: Store, summary: Summary) -> dict[str, str]:
    query = "SELECT concept, min(place) FROM cells GROUP BY concept ORDER BY 2"
    facts = summary.facts.concepts
    return {
        concept: text
        for concept, _ in store.select(query)
        if concept in facts and (text := facts[concept].text)
    }


def _is_prompting(summary: Summary, method: str) -> bool:
    cards = summary.facts.methods
    return method == "prompt" or (method in cards and cards[method].kind == "prompt")


def _strength(summary: Summary, method: str, strength: float | None) -> float:
    if method == UNSTEERED:
        return 0.0
    if strength is None:
        tuned = summary.facts.tuned.get(method)
        if tuned is None:
            raise UsageError(
                f"no strength was chosen for {method} in this run",
                remedy="Run it with --tune-strength, or give a number.",
            )
        return tuned.strength
    if strength not in summary.strengths:
        raise UsageError(
            f"the run has no strength {strength:g}",
            remedy=f"It has {', '.join(f'{each:g}' for each in summary.strengths)}.",
        )
    return strength


def _circular(summary: Summary, methods: Iterable[str]) -> dict[str, tuple[str, ...]]:
    encoders = sorted(
        {name for card in summary.facts.methods.values() for name in card.training.encoders}
    )
    return {
        encoder: tuple(method for method in summary.circular_methods(encoder) if method in methods)
        for encoder in encoders
    }
