"""The findings of `htbench judge --probe` as text or JSON."""

import json
from typing import TYPE_CHECKING, Any

import typer

from htbench.core import secrets

if TYPE_CHECKING:
    from htbench.judging.meter import Price
    from htbench.judging.probe import Exchange, Probe
    from htbench.judging.tournament import Tournament


def print_probe(tournament: "Tournament", *, as_json: bool) -> None:
    """Probe the judge of a tournament, and print what was asked, replied and found.

    Raises:
        Refused: if it does not see pictures.
        Incomplete: if it gave no verdict.
    """
    from htbench.core.display import print_json
    from htbench.judging import probe as probes

    found, model = probes.probe(tournament), tournament.judge.model
    facts = _facts(found, tournament.meter.price)
    exchange = found.failed or found.sample
    shown = _exchange(exchange, tournament.judge.endpoint) if exchange else {}
    if as_json:
        print_json(event="probe", model=model, **facts, **shown)
    else:
        for name, value in shown.items():
            text = (
                value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            )
            typer.echo(f"{name.capitalize()}:\n{text}\n")
        for name, value in facts.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            typer.echo(f"{name.replace('_', ' ').capitalize()}: {text}")
    probes.check_sight(found, model)


def _facts(found: "Probe", price: "Price | None") -> dict[str, Any]:
    """Findings by name."""
    cost = None if price is None else price.cost(found.usage)
    return {
        "known_pictures": f"{found.right} of {found.of} questions answered right",
        **found.abilities,
        "requests": found.requests,
        "tokens": {"asked": found.usage.asked, "replied": found.usage.replied},
        "cost": "price unknown; give --prices" if cost is None else round(cost, 6),
    }


def _exchange(exchange: "Exchange", endpoint: str) -> dict[str, Any]:
    """The call, the reply and what was read from it, without secrets."""
    reply = exchange.answer.body or exchange.answer.message
    try:
        shown: Any = _without_probabilities(json.loads(secrets.scrub(reply)))
    except ValueError:
        shown = secrets.scrub(reply)
    call = json.loads(secrets.scrub(json.dumps(exchange.call, ensure_ascii=False)))
    verdict = exchange.verdict
    weight = "" if verdict.coverage is None else f", preference for A {verdict.preference:.3f}"
    return {
        "address": f"{endpoint}/chat/completions",
        "call": call,
        "reply": shown,
        **({"thought": secrets.scrub(exchange.thought)} if exchange.thought else {}),
        "verdict": f"{verdict.choice or verdict.outcome}{weight}",
    }


def _without_probabilities(reply: Any) -> Any:
    """A reply with the number of tokens in place of their probabilities."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    for choice in choices if isinstance(choices, list) else []:
        logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
        tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
        if isinstance(logprobs, dict) and isinstance(tokens, list):
            logprobs["content"] = f"… ({len(tokens):,} tokens)"
    return reply
