"""`htbench power`: how many votes an effect needs, and what a judged run can show."""

import math
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, Out, run_folder
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from htbench.stats.power import DetectableEffect


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
    """Votes, pairs and calls that an effect needs; or the effects that a judged run can show, with the correlation that it has."""
    from htbench.core.display import print_json
    from htbench.stats.power import sample_size

    if run is not None:
        _print_detectable(run_folder(run, out), alpha=alpha, chance=chance, as_json=as_json)
        return
    wanted = preference or [0.55, 0.6, 0.65, 2 / 3, 0.7, 0.75]
    if wrong := [each for each in wanted if not 0 < each < 1 or each == 0.5]:
        raise UsageError(
            f"a preference of {wrong[0]:g} is no effect",
            remedy="Give one between 0.5 and 1, such as 0.667 for twice as often.",
        )
    needs = [
        sample_size(
            each,
            per_concept=per_concept,
            icc=icc,
            undecided=undecided,
            comparisons=comparisons,
            alpha=alpha,
            power=chance,
        )
        for each in wanted
    ]
    if not as_json:
        typer.echo(
            f"{'preference':>10} {'independent':>12} {'x design':>9} {'votes':>9} {'pairs':>9} {'concepts':>9} {'calls':>9}"
        )
    for each in needs:
        if as_json:
            print_json(**asdict(each))
        else:
            figures = (each.votes, each.pairs, math.ceil(each.pairs / per_concept), each.calls)
            typer.echo(
                f"{each.preference:>10.3f} {each.independent:>12,} {each.design_effect:>9.2f} "
                + " ".join(f"{figure:>9,}" for figure in figures)
            )


def _print_detectable(folder: Path, *, alpha: float, chance: float, as_json: bool) -> None:
    from htbench.core.display import print_json, printable
    from htbench.judging.leaderboard import read_result
    from htbench.judging.ledger import Ledger
    from htbench.stats.power import detectable_effect

    with Ledger.read(folder) as ledger:
        boards = [read_result(ledger, id_, rounds=2) for id_ in ledger.tournaments()]
    for each in boards:
        for criterion in each.criteria:
            by_pair: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(
                lambda: defaultdict(list)
            )
            for (one, two, concept, _, _), value in criterion.preferences.items():
                by_pair[one, two][concept].append(value)
            judge = f"{each.metadata['judge']} {each.metadata['model']}, {criterion.name}"
            if not as_json:
                typer.echo(
                    f"{printable(judge, max_length=120)}: alpha {alpha:g}, power {chance:g}, each pair of methods by itself"
                )
            for (one, two), values in sorted(by_pair.items()):
                found = detectable_effect(one, two, values, alpha=alpha, power=chance)
                if as_json:
                    print_json(
                        judge=each.metadata["judge"],
                        model=each.metadata["model"],
                        criterion=criterion.name,
                        **asdict(found),
                    )
                else:
                    typer.echo(_detectable_line(found))


def _detectable_line(effect: "DetectableEffect") -> str:
    least = "-" if math.isnan(effect.least) else f"{effect.least:.3f}"
    icc = "-" if math.isnan(effect.icc) else f"{effect.icc:.2f}"
    pair = f"{effect.one} over {effect.two}"
    shows = f"a rate of {least} or {_mirror(effect.least)} would show"
    return f"  {pair:<40} {effect.rate:.3f} in {effect.votes:,} pairs on {effect.concepts} concepts, ICC {icc}; {shows}"


def _mirror(least: float) -> str:
    return "-" if math.isnan(least) else f"{1 - least:.3f}"
