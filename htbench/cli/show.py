"""`htbench show`: one method, model, run or other thing that is listed, in full."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.listing import plugin_entry, run_entry
from htbench.cli.options import RUNS_DIR, Json, ModelOption, RunsDir, load_options, run_folder
from htbench.core import registry
from htbench.core.errors import Refused, UnknownName, UsageError

if TYPE_CHECKING:
    from htbench.steering.baseline import Card
    from htbench.steering.concept import ConceptSet


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="method, model, encoder, scorer, concept, metric, judge, plan or run.",
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; see htbench list.")],
    concept_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Set of the concept, shipped or your own.",
            show_default="all that are shipped",
        ),
    ] = None,
    needs: Annotated[
        bool,
        typer.Option(
            "--needs",
            help="Also calculate the operations and memory that a published model needs.",
        ),
    ] = False,
    model_option: ModelOption = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Show all that is known of a method, a model, a run or anything else that is listed. A model
    needs neither its weights nor a GPU.
    """
    from htbench.core.display import print_json
    from htbench.scorers import scorer

    if (needs or model_option) and what != "model":
        raise UsageError(
            f"--needs and --model-option are of a model, not of a {what[:60]}",
            remedy="Write: htbench show model NAME --needs",
        )

    shows: dict[str, Callable[[str], dict[str, object]]] = {
        "method": _method,
        "model": lambda name: _model(name, load_options(None, model_option), needs=needs),
        "encoder": lambda name: _plugin("encoders", name, "encoder"),
        "scorer": lambda name: _plugin(scorer.other_group(name), name, "scorer"),
        "concept": lambda name: _concept(name, concept_set),
        "metric": _metric,
        "judge": _judge,
        "plan": _plan,
        "run": lambda name: _run(name, runs_dir),
    }
    if what not in shows:
        raise UnknownName("thing to show", what, shows)
    facts = shows[what](name)
    if as_json:
        print_json(**facts)
    else:
        _print_facts(facts)


def _print_facts(facts: Mapping[str, object]) -> None:
    """Print facts below each other; long lines break at words."""
    from htbench.core.display import printable
    from htbench.core.tables import print_lines, terminal_width, wrap

    indent = max((len(name) for name in facts), default=0) + 2
    width = max(min(terminal_width(), 100) - 2 - indent, 20)
    for name, value in facts.items():
        lines = [
            part
            for line in _lines(value)
            for part in (
                [printable(line)] if str(line).startswith(" ") else wrap(str(line), width, indent=2)
            )
        ]
        first, *rest = lines or ["-"]
        print_lines([f"{name:<{indent}}{first}", *(" " * indent + line for line in rest)])


def _lines(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [f"{name}: {part}" for name, part in value.items()]
    return list(str(value).splitlines())


def _method(name: str) -> dict[str, object]:
    from htbench.steering import baseline

    card = baseline.load_card(name)
    published = [
        f"{figure.what}: {figure.value} ({figure.conditions})" for figure in card.published
    ]
    return {
        **card.model_dump(mode="json", exclude={"bibtex"}),
        "artifacts": {model: _artifact(card, model) for model in card.artifacts},
        "published": published,
        "digest": card.digest,
        "bibtex": card.bibtex.strip(),
    }


def _artifact(card: "Card", model: str) -> str:
    """The trained file of a card, and whether its list of training concepts can be relied on."""
    from htbench.steering import record_digest

    path = card.artifact(model)
    if path is None:
        return ""
    try:
        unverified = record_digest.why_file_unverified(path)
    except Refused as error:
        unverified = str(error)
    state = f"unverified: {unverified}" if unverified else "verified"
    return f"{os.path.relpath(path)}, training concepts {state}"


def _model(name: str, options: Mapping[str, str], *, needs: bool) -> dict[str, object]:
    plugin = registry.load("models", name)
    if needs and not hasattr(plugin, "needs"):
        raise UsageError(
            f"{name} is small: what it needs is measured, not worked out",
            remedy="Run: htbench time --model emoji",
        )
    model = (
        plugin.sketch(**options)
        if hasattr(plugin, "sketch")
        else registry.load_model(name, "cpu", options)
    )
    channels = sum(site.channels for site in model.sites.values())
    first, *_, last = [*model.sites, ""] if len(model.sites) == 1 else model.sites
    missing = plugin.missing() if hasattr(plugin, "missing") else []
    lacks = [f"{part} is missing: htbench fetch --model {name}" for part in missing]
    description = registry.describe("models", name)
    return {
        "name": model.name,
        "about": description.about,
        "parameters": description.size,
        **(model.facts() if hasattr(model, "facts") else {"revision": model.revision}),
        "sites": [
            f"{len(model.sites)} modules, from {first} to {last}",
            f"{channels:,} channels",
            f"{2 * channels:,} parameters per concept: scale and shift",
        ],
        "conditioner": model.concept_encoder,
        "scorer": model.scorer,
        "weights": ", ".join(lacks) or "here",
        **(plugin.needs(**options) if needs else {}),
    }


def _plugin(group: registry.Group, name: str, option: str) -> dict[str, object]:
    entry = plugin_entry(group, name, option)
    return {"name": name, "about": entry.about, "facts": list(filter(None, entry.facts))}


def _metric(name: str) -> dict[str, object]:
    from htbench.scorers.metric_table import METRIC_TABLE

    metrics = {metric.name: metric for metric in METRIC_TABLE}
    if name not in metrics:
        raise UnknownName("metric", name, metrics, remedy="See: htbench list metrics")
    metric = metrics[name]
    return {
        "name": name,
        "title": metric.title,
        "definition": metric.definition.format(scale=""),
        "range": f"{metric.worst:g} to {metric.best:g}, higher is better",
    }


def _judge(name: str) -> dict[str, object]:
    from htbench.judging import card as judge_cards

    return judge_cards.load_judge_card(name).model_dump(mode="json")


def _run(name: str, runs_dir: Path) -> dict[str, object]:
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    folder = run_folder(name, runs_dir)
    entry = run_entry(folder)
    with Store.read(folder) as store:
        plan = Summary(store).facts.plan.stored
    return {"name": entry.name, "folder": str(folder), "about": entry.about, "plan": plan}


def _plan(name: str) -> dict[str, object]:
    from htbench.run import plan as plans
    from htbench.run.timing import plan as timing_plans

    if name in timing_plans.names():
        settings = timing_plans.build(name, {}).model_dump(mode="json")
        return {"about": timing_plans.about(name), "command": f"htbench time {name}", **settings}
    settings = plans.build(plans.read(name)).model_dump(mode="json")
    return {"about": plans.about(name), **settings}


def _concept(name: str, concept_set: str | None) -> dict[str, object]:
    from htbench.steering import concept as concept_sets
    from htbench.steering.wording import WORDINGS, phrasings

    if name in concept_sets.names():
        return _concept_set(concept_sets.load(name))
    names = [concept_set] if concept_set else concept_sets.names()
    everything = {
        concept.id: (concept, split, concepts)
        for concepts in map(concept_sets.load, names)
        for split, members in concepts.splits.items()
        for concept in members
    }
    if name not in everything:
        raise UnknownName("concept", name, everything, remedy="See: htbench list concepts")
    concept, split, concepts = everything[name]
    examples = ", ".join(concept.sources[:3])
    return {
        "id": concept.id,
        "set": f"{concepts.name}, version {concepts.version}",
        "split": split,
        "kind": concept.kind,
        "text": concept.text,
        "template": concept.template,
        "paraphrases": list(concept.paraphrases),
        **({"synonyms": list(concept.synonyms)} if concept.synonyms else {}),
        "wordings": [each for each in WORDINGS if phrasings(concept, each)],
        "learnt from": f"{len(concept.sources)} neutral prompts, such as {examples}",
        "references": f"{len(concept.references)} pictures",
        "digest": concept.digest,
    }


def _concept_set(concepts: "ConceptSet") -> dict[str, object]:
    return {
        "set": concepts.name,
        "version": concepts.version,
        "about": " ".join(concepts.about.split()),
        "licence": concepts.licence,
        "concepts": {split: len(members) for split, members in concepts.splits.items()},
        "prompts": list(concepts.prompts),
    }
