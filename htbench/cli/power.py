"""`htbench power`: votes that an effect needs, and effects that a judged run can show."""

import math
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, Out, run_folder
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from htbench.stats.power import DetectableEffect, SampleSize


ByPair = dict[tuple[str, str], dict[str, list[float]]]
"""Preferences for the first of two methods, by concept."""


def power(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run that was judged: what it can show; without one, what an effect needs."
        ),
    ] = None,
    preference: Annotated[
        list[float] | None,
        typer.Option(
            help="Effect: how often one is preferred where it is decided; repeat for several."
        ),
    ] = None,
    per_concept: Annotated[int, typer.Option(min=1, help="Votes on each concept.")] = 10,
    icc: Annotated[
        float, typer.Option(min=0, max=1, help="Correlation of two votes on one concept.")
    ] = 0.2,
    undecided: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.99,
            help="Share of pairs that end in a tie, a contradiction or without a verdict.",
        ),
    ] = 0.0,
    comparisons: Annotated[int, typer.Option(min=1, help="Pairs of methods tested together.")] = 1,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5)] = 0.05,
    chance: Annotated[
        float, typer.Option("--power", min=0.1, max=0.999, help="Chance to find the effect.")
    ] = 0.8,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Votes, pairs and calls that an effect needs; or the effects that a judged run can show, with
    the correlation that it has.
    """
    from htbench.core.display import print_json
    from htbench.stats.power import sample_size

    if run is not None:
        _print_detectable(run_folder(run, out), alpha=alpha, chance=chance, as_json=as_json)
        return
    preferences = preference or [0.55, 0.6, 0.65, 2 / 3, 0.7, 0.75]
    if wrong := [value for value in preferences if not 0 < value < 1 or value == 0.5]:
        raise UsageError(
            f"a preference of {wrong[0]:g} is no effect",
            remedy="Give one between 0.5 and 1, such as 0.667 for twice as often.",
        )
    sizes = [
        sample_size(
            value,
            per_concept=per_concept,
            icc=icc,
            undecided=undecided,
            comparisons=comparisons,
            alpha=alpha,
            power=chance,
        )
        for value in preferences
    ]
    if as_json:
        for size in sizes:
            print_json(**asdict(size))
    else:
        _print_sizes(sizes, per_concept=per_concept)


def _print_sizes(sizes: "list[SampleSize]", *, per_concept: int) -> None:
    counts = " ".join(f"{title:>9}" for title in ("votes", "pairs", "concepts", "calls"))
    typer.echo(f"{'preference':>10} {'independent':>12} {'x design':>9} {counts}")
    for size in sizes:
        figures = (size.votes, size.pairs, math.ceil(size.pairs / per_concept), size.calls)
        counts = " ".join(f"{figure:>9,}" for figure in figures)
        start = f"{size.preference:>10.3f} {size.independent:>12,} {size.design_effect:>9.2f}"
        typer.echo(f"{start} {counts}")


def _print_detectable(folder: Path, *, alpha: float, chance: float, as_json: bool) -> None:
    from htbench.core.display import print_json, printable
    from htbench.judging.leaderboard import read_result
    from htbench.judging.ledger import Ledger
    from htbench.stats.power import detectable_effect

    with Ledger.read(folder) as ledger:
        results = [read_result(ledger, id_, rounds=2) for id_ in ledger.tournaments()]
    for result in results:
        judge, model = result.metadata["judge"], result.metadata["model"]
        for criterion in result.criteria:
            if not as_json:
                title = printable(f"{judge} {model}, {criterion.name}", max_length=120)
                test = f"alpha {alpha:g}, power {chance:g}, each pair of methods by itself"
                typer.echo(f"{title}: {test}")
            by_pair: ByPair = defaultdict(lambda: defaultdict(list))
            for (one, two, concept, _, _), value in criterion.preferences.items():
                by_pair[one, two][concept].append(value)
            for (one, two), values in sorted(by_pair.items()):
                effect = detectable_effect(one, two, values, alpha=alpha, power=chance)
                if as_json:
                    print_json(judge=judge, model=model, criterion=criterion.name, **asdict(effect))
                else:
                    typer.echo(_detectable_line(effect))


def _detectable_line(effect: "DetectableEffect") -> str:
    least, mirrored = (
        "-" if math.isnan(effect.least) else f"{rate:.3f}"
        for rate in (effect.least, 1 - effect.least)
    )
    icc = "-" if math.isnan(effect.icc) else f"{effect.icc:.2f}"
    pair = f"{effect.one} over {effect.two}"
    votes = f"{effect.votes:,} pairs on {effect.concepts} concepts, ICC {icc}"
    shows = f"a rate of {least} or {mirrored} would show"
    return f"  {pair:<40} {effect.rate:.3f} in {votes}; {shows}"
