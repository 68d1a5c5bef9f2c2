"""`htbench show`: one method, model, plan or concept in full."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, ModelOption, load_options
from htbench.core import registry
from htbench.core.errors import Refused, UnknownName, UsageError

if TYPE_CHECKING:
    from htbench.steering.baseline import Card


def show(
    what: Annotated[str, typer.Argument(help="method, model, plan or concept")],
    name: Annotated[str, typer.Argument(help="Its name; see: htbench list")],
    concept_set: Annotated[
        str | None,
        typer.Option(
            help="Set that a concept is of, shipped or your own; any shipped one if not given."
        ),
    ] = None,
    needs: Annotated[
        bool,
        typer.Option(
            "--needs",
            help="Also work out what a published model asks of a device: operations and memory by "
            "batch, and of learning.",
        ),
    ] = False,
    model_option: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Show all that is known of a method, a model, a plan or a concept; a model needs neither its
    weights nor a GPU.
    """
    from htbench.core.display import print_json, printable

    if (needs or model_option) and what != "model":
        raise UsageError(
            f"--needs and --model-option are of a model, not of a {what[:60]}",
            remedy="Write: htbench show model NAME --needs",
        )

    shows: dict[str, Callable[[str], dict[str, object]]] = {
        "method": _method,
        "model": lambda name: _model(name, load_options(None, model_option), needs=needs),
        "plan": _plan,
        "concept": lambda name: _concept(name, concept_set),
    }
    if what not in shows:
        raise UnknownName("thing to show", what, shows)
    facts = shows[what](name)
    if as_json:
        print_json(**facts)
        return
    for key, value in facts.items():
        lines = _lines(value)
        typer.echo(f"{key:<12} {printable(lines[0]) if lines else '-'}")
        for line in lines[1:]:
            typer.echo(f"{'':<12} {printable(line)}")


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
    return {
        "name": model.name,
        **(model.facts() if hasattr(model, "facts") else {"revision": model.revision}),
        "sites": [
            f"{len(model.sites)} modules, from {first} to {last}",
            f"{channels:,} channels",
            f"{2 * channels:,} parameters a concept: scale and shift",
        ],
        "conditioner": model.concept_encoder,
        "scorer": model.scorer,
        "weights": ", ".join(lacks) or "here",
        **(plugin.needs(**options) if needs else {}),
    }


def _plan(name: str) -> dict[str, object]:
    from htbench.run import plan as plans

    return plans.build(plans.read(name)).model_dump(mode="json")


def _concept(name: str, concept_set: str | None) -> dict[str, object]:
    from htbench.steering import concept as concept_sets

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
        "learnt from": f"{len(concept.sources)} neutral prompts, such as {examples}",
        "references": f"{len(concept.references)} pictures",
        "digest": concept.digest,
    }
