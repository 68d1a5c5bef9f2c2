"""`htbench power`: votes that an effect needs, and effects that a judged run can show."""

import math
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import RUNS_DIR, Json, RunsDir, run_folder
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from htbench.stats.power import DetectableEffect, SampleSize


ByPair = dict[tuple[str, str], dict[str, list[float]]]
"""Preferences for the first of two methods, by concept."""


def power(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A judged run, to show the effects that it can detect. Without one: the votes "
            "that an effect needs.",
        ),
    ] = None,
    preference: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SHARE",
            help="Effect: share of decided pairs in which one method is preferred. Repeatable.",
            show_default="0.55 to 0.75",
        ),
    ] = None,
    per_concept: Annotated[int, typer.Option(min=1, metavar="N", help="Votes per concept.")] = 10,
    icc: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Correlation of two votes on the same concept."
        ),
    ] = 0.2,
    undecided: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.99,
            metavar="SHARE",
            help="Share of pairs that end in a tie, a contradiction or without a verdict.",
        ),
    ] = 0.0,
    comparisons: Annotated[
        int, typer.Option(min=1, metavar="N", help="Pairs of methods tested together.")
    ] = 1,
    alpha: Annotated[
        float,
        typer.Option(min=1e-6, max=0.5, metavar="SHARE", help="Level of the test."),
    ] = 0.05,
    chance: Annotated[
        float,
        typer.Option(
            "--power", min=0.1, max=0.999, metavar="SHARE", help="Chance to detect the effect."
        ),
    ] = 0.8,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Show the votes that an effect needs, or the effects that a judged run can detect."""
    from htbench.core.display import print_json
    from htbench.stats.power import sample_size

    if run is not None:
        _print_detectable(run_folder(run, runs_dir), alpha=alpha, chance=chance, as_json=as_json)
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
    from htbench.core.tables import TextTable, print_paragraph

    TextTable(
        columns=("Preference", "Independent", "Factor", "Votes", "Pairs", "Concepts", "Calls"),
        rows=[
            (
                f"{size.preference:.3f}",
                f"{size.independent:,}",
                f"{size.design_effect:.2f}",
                f"{size.votes:,}",
                f"{size.pairs:,}",
                f"{math.ceil(size.pairs / per_concept):,}",
                f"{size.calls:,}",
            )
            for size in sizes
        ],
    ).print()
    print_paragraph(
        "Independent: votes that would do if no two were on one concept. Factor: times as many "
        "since votes on one concept are correlated. Pairs: with those that end undecided. Calls: "
        "of a judge that sees each pair in both orders."
    )


def _print_detectable(folder: Path, *, alpha: float, chance: float, as_json: bool) -> None:
    from htbench.core.display import print_json
    from htbench.core.tables import print_paragraph
    from htbench.judging.leaderboard import read_result
    from htbench.judging.ledger import Ledger
    from htbench.stats.power import detectable_effect

    with Ledger.read(folder) as ledger:
        results = [read_result(ledger, id_, rounds=2) for id_ in ledger.tournaments()]
    for result in results:
        judge, model = result.metadata["judge"], result.metadata["model"]
        for criterion in result.criteria:
            by_pair: ByPair = defaultdict(lambda: defaultdict(list))
            for (one, two, concept, _, _), value in criterion.preferences.items():
                by_pair[one, two][concept].append(value)
            effects = [
                detectable_effect(one, two, values, alpha=alpha, power=chance)
                for (one, two), values in sorted(by_pair.items())
            ]
            if as_json:
                for effect in effects:
                    print_json(judge=judge, model=model, criterion=criterion.name, **asdict(effect))
            else:
                _print_effects(f"{judge} {model}, {criterion.name}", effects)
    if not as_json:
        print_paragraph(
            f"Detectable: least preference that a test of this pair alone finds with chance "
            f"{chance:g} at level {alpha:g}; as far below one half likewise. ICC: correlation of "
            "two votes on one concept."
        )


def _print_effects(title: str, effects: "list[DetectableEffect]") -> None:
    from htbench.core.tables import TextTable

    TextTable(
        title=title,
        columns=("Pair", "Preference", "Pairs", "Concepts", "ICC", "Detectable"),
        rows=[
            (
                f"{effect.one} over {effect.two}",
                f"{effect.rate:.3f}",
                f"{effect.votes:,}",
                f"{effect.concepts:,}",
                _figure(effect.icc, 2),
                _figure(effect.least, 3),
            )
            for effect in effects
        ],
    ).print()


def _figure(value: float, decimals: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"
