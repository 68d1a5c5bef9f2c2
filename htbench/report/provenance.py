"""What was run: the methods as their cards state them."""

from collections.abc import Mapping
from dataclasses import dataclass

from htbench.leaderboard import Summary
from htbench.report import words


@dataclass(frozen=True, kw_only=True)
class Card:
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


def collect(summary: Summary) -> list[Card]:
    """The card of every method of the run."""
    methods = words.mapping(summary.facts.get("methods"))
    return [_card(method, words.mapping(methods.get(method))) for method in summary.methods]


def _card(method: str, card: Mapping[str, object]) -> Card:
    training = words.mapping(card.get("training"))
    return Card(
        method=method,
        summary=str(card.get("summary") or ""),
        paper=str(card.get("paper") or ""),
        bibtex=str(card.get("bibtex") or ""),
        digest=str(card.get("digest") or ""),
        settings=words.mapping(card.get("settings")),
        published=[words.mapping(figure) for figure in words.listing(card.get("published"))],
        seconds=words.number(training.get("seconds")),
        device=str(training.get("device") or ""),
        concepts=words.listing(training.get("concepts")),
        encoders=words.listing(training.get("encoders")),
    )
