"""Who is who among a run's methods, by what their cards say."""

from collections.abc import Sequence
from dataclasses import dataclass

from htbench.report import format
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The methods that a paper's claims are about, each in the order of the plan."""

    by_words: Sequence[str]
    """Of the paper, predicting from a concept's words."""
    by_pictures: Sequence[str]
    """Of the paper, predicting from pictures alone."""
    per_concept: Sequence[str]
    """That fit each concept by itself."""
    prompting: Sequence[str]
    """That put the concept's words into the prompt."""
    circular: Sequence[str]
    """That the headline's scorer cannot judge."""

    @property
    def prompt(self) -> str | None:
        """Plain prompting."""
        return "prompt" if "prompt" in self.prompting else next(iter(self.prompting), None)


def find_roles(summary: Summary, paper: str) -> Roles:
    """Of the methods of a run; `paper` is the address of the one whose claims are looked at."""
    cards = {
        method: format.as_mapping(format.as_mapping(summary.facts.get("methods")).get(method))
        for method in summary.methods
    }
    own = [
        method
        for method, card in cards.items()
        if paper in str(card.get("paper")) and card.get("cost", "prediction") == "prediction"
    ]
    pictured = [method for method in own if format.as_list(cards[method].get("reads")) == ["image"]]
    return Roles(
        by_words=[method for method in own if method not in pictured],
        by_pictures=pictured,
        per_concept=[method for method, card in cards.items() if card.get("kind") == "per-concept"],
        prompting=[method for method, card in cards.items() if card.get("kind") == "prompt"],
        circular=summary.circular_methods(summary.scorer),
    )
