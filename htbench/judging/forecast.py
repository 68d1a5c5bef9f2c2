"""What is still to be asked, and what it will cost, by what was asked until now."""

from dataclasses import dataclass
from itertools import islice

from htbench.judging.budget import Price
from htbench.judging.judge import HasSize, Usage
from htbench.judging.tournament import Tournament

_SIZE_SAMPLE = 8
"""Calls whose size stands for that of all."""


@dataclass(frozen=True, kw_only=True)
class JudgingForecast:
    """Of a tournament."""

    calls: int
    pending: int
    bytes: int | None
    """To be sent; None where the judge sends nothing."""
    usage: Usage | None
    """Tokens of what is pending; None where no call has told how many it takes."""
    cost: float | None
    """None: no price is known."""
    basis: int
    """Calls that this rests on."""


def forecast(tournament: Tournament, price: Price | None) -> JudgingForecast:
    """Calls, bytes, tokens and cost of what is pending."""
    calls, pending = tournament.ledger.count_calls(tournament.id)
    spent = tournament.ledger.model_usage(tournament.judge.model)
    size = None
    if isinstance(tournament.judge, HasSize):
        sizes = [
            tournament.judge.size(tournament.question(call))
            for call in islice(tournament.ledger.pending(tournament.id), _SIZE_SAMPLE)
        ]
        size = round(sum(sizes) / max(1, len(sizes)) * pending)
    usage = None
    if spent.calls and spent.usage.asked:
        scale = pending / spent.calls
        usage = Usage(
            asked=round(spent.usage.asked * scale),
            cached=round(spent.usage.cached * scale),
            replied=round(spent.usage.replied * scale),
        )
    return JudgingForecast(
        calls=calls,
        pending=pending,
        bytes=size,
        usage=usage,
        cost=price.cost(usage) if price and usage else None,
        basis=spent.calls,
    )
