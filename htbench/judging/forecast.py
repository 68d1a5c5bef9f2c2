"""Forecast of the calls, tokens and cost that are still to come, from the calls so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from htbench.judging.judge import HasSize
from htbench.judging.meter import Price, Usage
from htbench.judging.tournament import Tournament

_SIZE_SAMPLE = 8
"""Number of calls from which the mean size is estimated."""


@dataclass(frozen=True, kw_only=True)
class JudgingForecast:
    """The calls of tournaments that are pending, with their estimated cost."""

    calls: int
    pending: int
    bytes: int | None
    """Bytes to be sent; None for a judge that sends nothing."""
    usage: Usage | None
    """Tokens of the pending calls; None if no call so far has a token count."""
    cost: float | None
    """None: the price is not known."""
    basis: int
    """Number of calls that the estimate is based on."""


def forecast(tournaments: Sequence[Tournament], price: Price | None) -> JudgingForecast:
    """Estimate the bytes, tokens and cost of the pending calls of one judge's tournaments."""
    ledger, judge = tournaments[0].ledger, tournaments[0].judge
    counts = [ledger.count_calls(tournament.id) for tournament in tournaments]
    calls, pending = (sum(numbers) for numbers in zip(*counts, strict=True))
    spent = ledger.model_usage(judge.model)
    size = None
    if isinstance(judge, HasSize):
        questions = chain.from_iterable(
            islice(map(tournament.question, ledger.pending(tournament.id)), _SIZE_SAMPLE)
            for tournament in tournaments
        )
        sizes = [judge.size(question) for question in questions]
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
