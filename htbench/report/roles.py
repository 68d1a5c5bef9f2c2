"""The roles of a run's methods, by their cards."""

from collections.abc import Sequence
from dataclasses import dataclass

from htbench.run.fact_table import MethodFacts
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The methods that a paper's claims are about, each in the order of the plan."""

    by_words: Sequence[str]
    """Methods of the paper that predict from a concept's words."""
    by_pictures: Sequence[str]
    """Methods of the paper that predict from pictures alone."""
    per_concept: Sequence[str]
    """Methods that fit each concept by itself."""
    prompting: Sequence[str]
    """Methods that put the concept's words into the prompt."""
    circular: Sequence[str]
    """Methods that the headline's scorer cannot judge."""

    @property
    def prompt(self) -> str | None:
        """Plain prompting."""
        return "prompt" if "prompt" in self.prompting else next(iter(self.prompting), None)


def find_roles(summary: Summary, paper: str) -> Roles:
    """The roles of the run's methods; `paper` is the address of the paper with the claims."""
    facts = summary.facts.methods
    cards = {method: facts.get(method, MethodFacts()) for method in summary.methods}
    own = [
        method
        for method, card in cards.items()
        if paper in card.paper and card.cost == "prediction"
    ]
    by_pictures = [method for method in own if cards[method].reads == ["image"]]
    return Roles(
        by_words=[method for method in own if method not in by_pictures],
        by_pictures=by_pictures,
        per_concept=[method for method, card in cards.items() if card.kind == "per-concept"],
        prompting=[method for method, card in cards.items() if card.kind == "prompt"],
        circular=summary.circular_methods(summary.scorer),
    )
