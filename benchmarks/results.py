"""The tables of docs/results.md, from a finished run: `python benchmarks/results.py runs/emoji-full`."""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from htbench.report import format
from htbench.report.roles import find_roles
from htbench.report.sections import claims, novelty, strengths
from htbench.report.sections.novelty import NoveltyScore
from htbench.run.store import Store
from htbench.run.summary import METRICS, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate
from htbench.stats.paired import compare
from htbench.stats.tradeoff import Policy


def number(value: float) -> str:
    """Two decimals, no leading zero; zero has no sign."""
    text = f"{round(value, 2) + 0.0:.2f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def estimate(value: Estimate | None) -> str:
    return f"{number(value.mean)} [{number(value.low)}, {number(value.high)}]" if value else ""


def interval(value: Interval | None) -> str:
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]" if value else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of Markdown, numbers to the right."""
    print(f"| {' | '.join(head)} |\n|---|{'--:|' * (len(head) - 1)}")
    print("".join(f"| {' | '.join(row)} |\n" for row in rows))


def scores(summary: Summary) -> None:
    """All scores at full strength, with ranks and tiers, and times."""
    costs, places = {cost.method: cost for cost in summary.costs}, summary.ranks
    rows = []
    for line in summary.leaderboard:
        cost, place = costs.get(line.method), places.get(line.method) if places else None
        concept = format.duration(cost.concept.median) if cost and cost.concept else ""
        training = (
            format.duration(summary.training_seconds(line.method))
            if summary.training_seconds(line.method)
            else ""
        )
        found = [estimate(line.scores[metric]) for metric in METRICS]
        rows.append(
            [
                f"`{line.method}`",
                *((place.rank_range, str(place.tier)) if place else ("", "")),
                *found,
                concept,
                training,
            ]
        )
    table(
        [
            "method",
            "rank",
            "tier",
            *(title.lower() for title in METRICS.values()),
            "a concept",
            "training",
        ],
        rows,
    )
    print(
        f"Mean over {summary.concepts} concepts [95 % interval]; {summary.done:,} of {summary.planned:,} cells done.\n"
    )


def kinds(summary: Summary) -> None:
    """Presence by kind of concept, the commonest kind first."""
    kind = {name: str(fact["kind"]) for name, fact in summary.facts["concepts"].items()}
    names = sorted(set(kind.values()), key=lambda name: -list(kind.values()).count(name))
    rows = []
    for line in summary.leaderboard:
        means = summary.means(line.method, line.strength, "presence")
        rows.append(
            [
                f"`{line.method}`",
                *(
                    number(
                        statistics.fmean(
                            value for concept, value in means.items() if kind[concept] == name
                        )
                    )
                    for name in names
                ),
            ]
        )
    table(
        [
            f"presence at strength {summary.full_strength:g}",
            *(f"{name} ({list(kind.values()).count(name)})" for name in names),
        ],
        rows,
    )


def new_words(summary: Summary) -> None:
    """Presence of concepts all of whose words training had and of others, beside that of LinEAS, or of the best per-concept method without it."""

    def cells(part: NoveltyScore | None) -> list[str]:
        return (
            [estimate(part.score), estimate(part.reference), estimate(part.difference)]
            if part
            else [""] * 3
        )

    against = "lineas" if "lineas" in summary.methods else None
    found = novelty.collect(
        summary,
        find_roles(summary, claims.load_claims()["paper"]),
        metric="presence",
        reference=against,
    )
    rows = [
        [f"`{one.method}`", *cells(one.known), *cells(one.novel), estimate(one.loss)]
        for one in found
    ]
    if found:
        counts = [
            f"{sort} words ({part.score.n if part else 0})"
            for sort, part in (("known", found[0].known), ("new", found[0].novel))
        ]
        beside = [f"`{found[0].reference}`", "difference"]
        table(["presence", counts[0], *beside, counts[1], *beside, "lost on new words"], rows)


def policies(summary: Summary) -> None:
    """Gain and preservation at three choices of the strength, and over all strengths."""
    found = strengths.collect(summary)

    def cells(policy: Policy | None) -> list[str]:
        return (
            ["", "", ""]
            if policy is None
            else [
                f"{policy.strength:g}",
                number(policy.gain.mean),
                number(policy.preservation.mean),
            ]
        )

    order = [line.method for line in summary.leaderboard]
    answers = sorted(found.methods, key=lambda answer: order.index(answer.method))
    rows = [
        [
            f"`{one.method}`",
            *cells(one.policies.get("tuned")),
            *cells(one.policies.get("floor")),
            interval(one.hypervolume),
        ]
        for one in answers
    ]
    table(
        [
            "method",
            "chosen on dev",
            "gain",
            "kept",
            f"best that keeps {found.floor:g}",
            "gain",
            "kept",
            "hypervolume",
        ],
        rows,
    )


def paired(summary: Summary, one: str, other: str) -> None:
    """How far two methods are apart at full strength and at those chosen for them, on all concepts and on those in words that `one` was trained with or not."""
    tuned = {line.method: line.strength for line in summary.tuned}
    novel = (summary.facts["methods"][one].get("audit") or {}).get("novel")
    sorts = {"all words": (False, True)} | (
        {} if novel is None else {"known words": (False,), "new words": (True,)}
    )
    for at in [
        dict.fromkeys((one, other), summary.full_strength),
        *([tuned] if {one, other} <= tuned.keys() else []),
    ]:
        for sort, new in sorts.items():
            found = []
            for metric in ("presence", "concept_gain", "image_preservation"):
                means = {
                    method: summary.means(method, at[method], metric) for method in (one, other)
                }
                found.append(
                    difference(
                        metric,
                        {
                            method: {
                                name: of[name] for name in of if (name in (novel or ())) in new
                            }
                            for method, of in means.items()
                        },
                    )
                )
            print(
                f"`{one}` at {at[one]:g} less `{other}` at {at[other]:g}, {sort} [90 % interval]: {'; '.join(found)}.\n"
            )


def difference(
    metric: str, scores: Mapping[str, Mapping[str, float]], *, margin: float = 0.05
) -> str:
    """The first method's scores less the second's, and whether they are equivalent: within `margin`, or, of concept gain, within a tenth of the second's."""
    first, second = (statistics.fmean(of.values()) for of in scores.values())
    within = abs(second) / 10 if metric == "concept_gain" else margin
    (comparison,) = compare(scores, reference=list(scores)[1], margin=within)
    test = comparison.equivalence
    assert test, "a margin was given, and concepts are many"
    apart = f"{METRICS[metric].lower()} {number(first)} less {number(second)}: {test.difference:.3f} [{test.low:.3f}, {test.high:.3f}]"
    return f"{apart}, {'' if test.holds else 'not '}equivalent within {within:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    with Store.read(parser.parse_args().run) as store:
        summary = Summary(store)
        scores(summary)
        kinds(summary)
        new_words(summary)
        if len(summary.strengths) > 2:
            policies(summary)
        if {"hypertransport", "lineas"} <= set(summary.methods):
            paired(summary, "hypertransport", "lineas")


if __name__ == "__main__":
    main()
