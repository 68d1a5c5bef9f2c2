"""The section on provenance: the cards of methods, the works to cite, and licences."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from htbench.core import content
from htbench.run.fact_table import MethodFacts
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class MethodProvenance:
    """A method as it was run."""

    method: str
    summary: str
    paper: str
    bibtex: str
    digest: str
    settings: Mapping[str, object]
    published: list[Mapping[str, object]]
    seconds: float
    """Training time; NaN where it is not known."""
    device: str
    concepts: list[str]
    encoders: list[str]


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """A model, an encoder or a set of concepts that the run used."""

    role: str
    name: str
    licence: str
    """Empty where it is not known."""


def attributions(summary: Summary) -> list[Attribution]:
    """The works of others that the run used, with their licences."""
    known = _works()["parts"]
    parts = [
        _attribution("model", summary.facts.model.stored, known),
        _attribution("concepts", summary.facts.concept_set.stored, {}),
        *(_attribution("scorer", scorer.stored, known) for scorer in summary.facts.scorers),
        *(_attribution("gauge", scorer.stored, known) for scorer in summary.facts.gauges),
    ]
    names = dict.fromkeys(name for card in collect(summary) for name in card.encoders)
    parts += [_attribution("encoder of methods", {"name": name}, known) for name in names]
    return [part for part in parts if part.name]


def about_model(summary: Summary) -> str:
    """The model's name with what it is, such as `emoji, a small model of our own`."""
    name = summary.facts.model.name or "an unnamed model"
    about = _works()["parts"].get(name, {}).get("about", "")
    return f"{name}, {about}" if about else name


def is_small(summary: Summary) -> bool:
    """True for a model that says little about large generators."""
    return bool(_works()["parts"].get(summary.facts.model.name, {}).get("about"))


def paper_links(summary: Summary) -> dict[str, str]:
    """The address of each method's paper, by method; methods without one are left out."""
    found = {
        method: re.search(r"https://[^\s<>\"']+", card.paper)
        for method, card in summary.facts.methods.items()
    }
    return {method: match.group().rstrip(".,;") for method, match in found.items() if match}


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
    cards = summary.facts.methods
    return [_card(method, cards.get(method, MethodFacts())) for method in summary.methods]


def _card(method: str, card: MethodFacts) -> MethodProvenance:
    return MethodProvenance(
        method=method,
        summary=card.summary,
        paper=card.paper,
        bibtex=card.bibtex,
        digest=card.digest,
        settings=card.settings,
        published=[figure.stored for figure in card.published],
        seconds=card.training.seconds,
        device=card.training.device,
        concepts=card.training.concepts,
        encoders=card.training.encoders,
    )


def _works() -> dict[str, Any]:
    return tomllib.loads(
        (content.folder("reports") / "references" / "works.toml").read_text(encoding="utf-8")
    )


def _attribution(
    role: str, fact: Mapping[str, object], known: Mapping[str, Mapping[str, str]]
) -> Attribution:
    name = str(fact.get("name") or "")
    licence = fact.get("licence") or known.get(name, {}).get("licence") or ""
    return Attribution(role=role, name=name, licence=str(licence))
