"""What was run: the methods as their cards state them, the works to cite, and the terms of what was used."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from htbench.core import content
from htbench.report import format
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class MethodProvenance:
    """A method as it was run."""

    method: str
    summary: str
    paper: str
    bibtex: str
    digest: str
    settings: dict[str, object]
    published: list[dict[str, object]]
    seconds: float
    """Of training; NaN where it is not known."""
    device: str
    concepts: list[object]
    encoders: list[object]


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """A model, an encoder or a set of concepts that the run used."""

    role: str
    name: str
    licence: str
    """Empty where it is not known."""


def attributions(summary: Summary) -> list[Attribution]:
    """Everything of others that the run used, with its terms."""
    known = _works()["parts"]
    found = [
        _attribution("model", summary.facts.get("model"), known),
        _attribution("concepts", summary.facts.get("concept_set"), {}),
    ]
    found += [
        _attribution("scorer", scorer, known)
        for scorer in format.as_list(summary.facts.get("scorers"))
    ]
    found += [
        _attribution("gauge", gauge, known) for gauge in format.as_list(summary.facts.get("gauges"))
    ]
    read = dict.fromkeys(str(name) for card in collect(summary) for name in card.encoders)
    found += [_attribution("encoder of methods", {"name": name}, known) for name in read]
    return [part for part in found if part.name]


def citations(summary: Summary) -> str:
    """BibTeX of every method, model and encoder of the run, each work once."""
    stated = _works()
    works = [
        work
        for part in attributions(summary)
        for work in stated["parts"].get(part.name, {}).get("works", ())
    ]
    entries = [card.bibtex.strip() for card in collect(summary) if card.bibtex.strip()] + [
        str(stated["works"][work]).strip() for work in works
    ]
    return "\n\n".join(dict.fromkeys(entries))


def collect(summary: Summary) -> list[MethodProvenance]:
    """The card of every method of the run."""
    methods = format.as_mapping(summary.facts.get("methods"))
    return [_card(method, format.as_mapping(methods.get(method))) for method in summary.methods]


def _card(method: str, card: Mapping[str, object]) -> MethodProvenance:
    training = format.as_mapping(card.get("training"))
    return MethodProvenance(
        method=method,
        summary=str(card.get("summary") or ""),
        paper=str(card.get("paper") or ""),
        bibtex=str(card.get("bibtex") or ""),
        digest=str(card.get("digest") or ""),
        settings=format.as_mapping(card.get("settings")),
        published=[format.as_mapping(figure) for figure in format.as_list(card.get("published"))],
        seconds=format.as_number(training.get("seconds")),
        device=str(training.get("device") or ""),
        concepts=format.as_list(training.get("concepts")),
        encoders=format.as_list(training.get("encoders")),
    )


def _works() -> dict[str, Any]:
    return tomllib.loads(
        (content.folder("reports") / "references" / "works.toml").read_text(encoding="utf-8")
    )


def _attribution(role: str, fact: object, known: Mapping[str, Mapping[str, str]]) -> Attribution:
    about = format.as_mapping(fact)
    name = str(about.get("name") or "")
    return Attribution(
        role=role,
        name=name,
        licence=str(about.get("licence") or known.get(name, {}).get("licence") or ""),
    )
