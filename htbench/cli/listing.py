"""`htbench list`: methods, models, concepts, scorers, judges, plans, runs, and what they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import RUNS_DIR, Json, RunsDir
from htbench.core import registry
from htbench.core.errors import HtbenchError, UnknownName


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that is listed."""

    name: str
    about: str
    """A sentence or two on what it is."""
    facts: tuple[str, ...] = ()
    """Size, licence, state and the like, each in a few words."""


@dataclass(frozen=True, kw_only=True)
class _Topic:
    """One kind of things that can be listed."""

    about: str
    entries: Callable[[], list[Entry]]


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC",
            help="methods, models, encoders, scorers, concepts, words, metrics, judges, plans or "
            "runs. Without it: what each of these is.",
        ),
    ] = None,
    concept_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With `concepts`: list each concept of this set, or your own."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="With `words`: model whose vocabulary is listed.")
    ] = "emoji",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """List methods, models, concepts, runs and more, with a sentence on each."""
    topics = _topics(concept_set, model, runs_dir)
    if what is None:
        entries = [Entry(name=name, about=topic.about) for name, topic in topics.items()]
    elif what in topics:
        entries = topics[what].entries()
    else:
        raise UnknownName("list", what, topics)
    _print_entries(entries, as_json=as_json)
    if not entries and not as_json:
        typer.echo(f"htbench: no {what} in {str(runs_dir)!r}", err=True)


def _topics(concept_set: str | None, model: str, runs_dir: Path) -> Mapping[str, _Topic]:
    """The kinds of things that can be listed, by name."""
    return {
        "methods": _Topic(about="Steering methods: htbench run --method NAME.", entries=_methods),
        "models": _Topic(
            about="Text-to-image models that are steered: --model NAME, or ./card.toml.",
            entries=_models,
        ),
        "encoders": _Topic(
            about="CLIP-like encoders that score images and read concepts: --scorer NAME.",
            entries=lambda: _plugins("encoders", "encoder"),
        ),
        "scorers": _Topic(
            about="Other scores of images, of sets of images and of activations: --scorer NAME.",
            entries=lambda: [
                *_plugins("scorers", "scorer"),
                *_plugins("set_scorers", "scorer"),
                *_plugins("activation_scorers", "scorer"),
            ],
        ),
        "concepts": _Topic(
            about="Sets of concepts to steer towards: --concept-set NAME.",
            entries=lambda: _concepts_of(concept_set) if concept_set else _concept_sets(),
        ),
        "words": _Topic(
            about="Words that the embedded model knows, for concepts and prompts.",
            entries=lambda: _words(model),
        ),
        "metrics": _Topic(about="The scores of a leaderboard.", entries=_metrics),
        "judges": _Topic(
            about="Models that compare images in pairs: htbench judge --judge NAME.",
            entries=_judges,
        ),
        "plans": _Topic(
            about="Runs with all their settings: htbench run NAME.",
            entries=_plans,
        ),
        "runs": _Topic(
            about="Runs that were made: htbench report, judge, check, diff and export.",
            entries=lambda: _runs(runs_dir),
        ),
    }


def _print_entries(entries: list[Entry], *, as_json: bool) -> None:
    """Print each entry with its sentence and facts; lines break at words, below each other."""
    from htbench.core.display import print_json, printable
    from htbench.core.tables import print_lines, terminal_width, wrap

    if as_json:
        for entry in entries:
            print_json(name=entry.name, about=entry.about, facts=list(entry.facts))
        return
    longest = max((len(entry.name) for entry in entries), default=0)
    indent = min(longest, 24) + 2
    width = min(terminal_width(), 100) - 2
    for entry in entries:
        name = printable(entry.name, max_length=200)
        facts = " · ".join(filter(None, entry.facts))
        lines = [
            " " * indent + line
            for text in (entry.about, facts)
            for line in wrap(text, max(width - indent, 20))
        ]
        if lines and len(name) <= indent - 2:
            lines[0] = f"{name:<{indent}}{lines[0].lstrip()}"
        else:
            lines = [name, *lines]
        print_lines(lines)


def _methods() -> list[Entry]:
    """Each baseline with its kind, cost per concept, encoders and reference."""
    from htbench.steering import baseline

    return [
        Entry(
            name=name,
            about=card.summary,
            facts=(
                card.kind,
                f"cost: {card.cost}" if card.cost else "",
                f"reads concepts with {', '.join(card.encoders)}" if card.encoders else "",
                card.paper.removeprefix("https://"),
            ),
        )
        for name, card in baseline.cards().items()
    ]


def _plugins(group: registry.Group, option: str) -> list[Entry]:
    return [plugin_entry(group, name, option) for name in sorted(registry.plugins(group))]


def _models() -> list[Entry]:
    """Installed models, and the cards `models/*.toml` of the working folder."""
    return [*_plugins("models", "model"), *map(_card_entry, sorted(Path("models").glob("*.toml")))]


def _card_entry(path: Path) -> Entry:
    """A model's card, or what is wrong with it."""
    try:
        return plugin_entry("models", str(path), "model")
    except HtbenchError as error:
        return Entry(name=str(path), about=str(error))


def plugin_entry(group: registry.Group, name: str, option: str) -> Entry:
    """A plug-in with its size, licence and state; `option` of `htbench fetch` downloads it."""
    description = registry.describe(group, name)
    return Entry(
        name=name,
        about=description.about,
        facts=(description.size, description.licence, _state(group, name, option)),
    )


def _state(group: registry.Group, name: str, option: str) -> str:
    if registry.describe(group, name).shipped:
        return "part of htbench"
    try:
        missing = registry.missing(group, name)
    except HtbenchError as error:
        return str(error)
    if missing is None:
        return "not known whether it is downloaded"
    return f"not downloaded: htbench fetch --{option} {name}" if missing else "downloaded"


def _concept_sets() -> list[Entry]:
    from htbench.steering import concept

    return [
        Entry(
            name=concepts.name,
            about=" ".join(concepts.about.split()),
            facts=(
                ", ".join(f"{len(concepts.splits[split])} {split}" for split in concept.SPLITS),
                concepts.licence,
                f"version {concepts.version}",
            ),
        )
        for concepts in map(concept.load, concept.names())
    ]


def _concepts_of(name: str) -> list[Entry]:
    from htbench.steering import concept as concept_sets

    return [
        Entry(name=concept.id, about=concept.text, facts=(split,))
        for split, concepts in concept_sets.load(name).splits.items()
        for concept in concepts
    ]


def _words(model: str) -> list[Entry]:
    loaded = registry.load_model(model)
    if not hasattr(loaded, "vocabulary"):
        return [Entry(name=model, about="Reads any words.")]
    return [
        Entry(name=kind, about=", ".join(words), facts=(f"{len(words)} in all",))
        for kind, words in loaded.vocabulary().items()
    ]


def _metrics() -> list[Entry]:
    from htbench.scorers.metric_table import METRIC_TABLE

    return [
        Entry(
            name=metric.name,
            about=f"{metric.title}: {metric.definition.format(scale='')}",
            facts=(f"from {metric.worst:g} to {metric.best:g}, higher is better",),
        )
        for metric in METRIC_TABLE
    ]


def _judges() -> list[Entry]:
    from htbench.judging import card as judge_cards

    cards = {name: judge_cards.load_judge_card(name) for name in judge_cards.judge_names()}
    return [
        Entry(
            name=name,
            about=card.summary,
            facts=(card.model or "model: --model", f"criteria: {', '.join(card.criteria)}"),
        )
        for name, card in cards.items()
    ]


def _plans() -> list[Entry]:
    from htbench.run import plan as plans
    from htbench.run.timing import plan as timing_plans

    return [
        *(Entry(name=name, about=plans.about(name)) for name in plans.names()),
        *(
            Entry(name=name, about=timing_plans.about(name), facts=("for htbench time",))
            for name in timing_plans.names()
        ),
    ]


def _runs(runs_dir: Path) -> list[Entry]:
    """The runs of a folder, the newest first."""
    stores = sorted(runs_dir.glob("*/run.sqlite"), key=lambda path: -path.stat().st_mtime)
    return [run_entry(path.parent) for path in stores]


def run_entry(folder: Path) -> Entry:
    """A run with its progress, start and command."""
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    try:
        with Store.read(folder) as store:
            summary = Summary(store)
            facts = summary.facts
            started = str(facts.environment.stored.get("started", "")).partition("+")[0]
            return Entry(
                name=folder.name,
                about=f"{summary.done:,}/{summary.planned:,} cells done, "
                f"{len(summary.methods)} methods, {summary.concepts} concepts on "
                f"{facts.model.name or 'an unknown model'}.",
                facts=(started.replace("T", " "), facts.command),
            )
    except HtbenchError as error:
        return Entry(name=folder.name, about=str(error))
