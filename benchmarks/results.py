"""The tables of docs/results.md from a finished run: `python benchmarks/results.py RUN`."""

import argparse
import statistics
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.rival import find_rival
from htbench.report.roles import find_roles
from htbench.report.sections import (
    claims,
    equal_preservation,
    novelty,
    other_scores,
    strengths,
)
from htbench.report.sections.novelty import NoveltyScore
from htbench.run.ranking import Ranking
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate
from htbench.stats.families import Families, FamiliesByConcept
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
    """All scores, ranks and times: of all methods at full strength, then by the default ranking."""
    basis = f"concept gain at strength {summary.full_strength:g}"
    full = summary.rank_by(HEADLINE, name="full-strength", title="Gain", basis=basis)
    _scores(summary, full)
    if summary.tuned:
        _scores(summary, summary.ranking)


def _scores(summary: Summary, ranking: Ranking) -> None:
    costs, ranks = {cost.method: cost for cost in summary.costs}, ranking.ranks or {}
    rows = []
    for method, strength in {**ranking.strengths, UNSTEERED: 0.0}.items():
        line = summary.leaderboard_row(method, strength)
        cost, rank = costs.get(method), ranks.get(method)
        at = "" if strength in (0, 1) else f" at {strength:g}"
        training = summary.training_seconds(method)
        rows.append(
            [
                f"`{method}`{at}",
                *((rank.rank_range, str(rank.tier)) if rank else ("", "")),
                *(estimate(line.scores[metric]) for metric in METRICS),
                format.duration(cost.concept.median) if cost and cost.concept else "",
                format.duration(training) if training else "",
            ]
        )
    metrics = [title.lower() for title in METRICS.values()]
    table(["method", "rank", "tier", *metrics, "time per concept", "training"], rows)
    cells = f"{summary.done:,} of {summary.planned:,} cells done"
    clusters = Families.of(list(summary.facts.concepts), summary.families).clusters
    concepts = f"{summary.concepts} concepts, {clusters:.3g} independent of each other"
    print(f"Ranked by {ranking.basis}. Mean over {concepts} [95 % interval]; {cells}.\n")


def equal_preservation_gains(summary: Summary) -> None:
    """Gain of all methods where they keep equally much of the image."""
    found = equal_preservation.collect(summary)
    rows = [
        [
            f"`{each.method}`",
            *((each.rank.rank_range, str(each.rank.tier)) if each.rank else ("", "")),
            estimate(each.matched.gain) if each.matched else "",
            each.note,
        ]
        for each in found.methods
    ]
    table(["method", "rank", "tier", f"gain at {found.level:g} of the image kept", ""], rows)


def other_scorers(summary: Summary) -> None:
    """Scores of scorers that are no encoders, and how far they agree with the leaderboard's."""
    for board in other_scores.collect(summary):
        rows = [[f"`{line.method}`", estimate(line.estimate)] for line in board.lines]
        table(["method", board.name], rows)
        print("".join(f"{agreement.sentence}.\n" for agreement in board.agreements))


def kinds(summary: Summary) -> None:
    """Presence by kind of concept, the commonest kind first."""
    kind_of = {concept: fact.kind for concept, fact in summary.facts.concepts.items()}
    counts = Counter(kind_of.values())
    names = sorted(counts, key=lambda name: -counts[name])
    rows = []
    for line in summary.at_full_strength:
        means = summary.means(line.method, line.strength, "presence")
        by_kind = {
            name: [value for concept, value in means.items() if kind_of[concept] == name]
            for name in names
        }
        rows.append(
            [f"`{line.method}`", *(number(statistics.fmean(by_kind[name])) for name in names)]
        )
    title = f"presence at strength {summary.full_strength:g}"
    table([title, *(f"{name} ({counts[name]})" for name in names)], rows)


def new_words(summary: Summary) -> None:
    """Presence of concepts whose words were all in training and of others.

    Beside it that of the best per-concept method.
    """

    def cells(score: NoveltyScore | None) -> list[str]:
        if score is None:
            return [""] * 3
        return [estimate(score.score), estimate(score.reference), estimate(score.difference)]

    methods = novelty.collect(
        summary,
        find_roles(summary, claims.load_claims()["paper"]),
        metric="presence",
    )
    rows = [
        [f"`{line.method}`", *cells(line.known), *cells(line.novel), estimate(line.loss)]
        for line in methods
    ]
    if methods:
        first = methods[0]
        known, new = (score.score.n if score else 0 for score in (first.known, first.novel))
        beside = [f"`{first.reference}`", "difference"]
        heads = [f"known words ({known})", *beside, f"new words ({new})", *beside]
        table(["presence", *heads, "lost on new words"], rows)


def policies(summary: Summary) -> None:
    """Gain and preservation at two choices of the strength, and over all strengths."""
    responses = strengths.collect(summary)

    def cells(policy: Policy | None) -> list[str]:
        if policy is None:
            return ["", "", ""]
        means = number(policy.gain.mean), number(policy.preservation.mean)
        return [f"{policy.strength:g}", *means]

    order = [line.method for line in summary.leaderboard]
    rows = [
        [
            f"`{line.method}`",
            *cells(line.policies.get("tuned")),
            *cells(line.policies.get("floor")),
            interval(line.hypervolume),
        ]
        for line in sorted(responses.methods, key=lambda line: order.index(line.method))
    ]
    floor = f"best that keeps {responses.floor:g}"
    head = ["method", "chosen on dev", "gain", "kept", floor, "gain", "kept", "hypervolume"]
    table(head, rows)


def paired(summary: Summary, method: str, reference: str) -> None:
    """Differences of two methods, at full strength and at the strengths chosen for them.

    On all concepts, and on those in words that `method` was trained with or not.
    """
    tuned = {line.method: line.strength for line in summary.tuned}
    novel = summary.facts.methods[method].audit.novel
    concepts = set(summary.facts.concepts)
    sorts = {"all words": concepts}
    if novel is not None:
        sorts |= {"known words": concepts - set(novel), "new words": concepts & set(novel)}
    both = (method, reference)
    choices = [dict.fromkeys(both, summary.full_strength)]
    if tuned.keys() >= set(both):
        choices.append(tuned)
    for at in choices:
        title = f"`{method}` at {at[method]:g} less `{reference}` at {at[reference]:g}"
        for sort, selection in sorts.items():
            texts = [
                difference(
                    metric,
                    _means(summary, method, at[method], metric, selection),
                    _means(summary, reference, at[reference], metric, selection),
                    summary.families,
                )
                for metric in ("presence", "concept_gain", "image_preservation")
            ]
            print(f"{title}, {sort} [90 % interval]: {'; '.join(texts)}.\n")


def _means(
    summary: Summary, method: str, strength: float, metric: str, concepts: Container[str]
) -> dict[str, float]:
    """Mean scores of a method by concept, for those among `concepts`."""
    means = summary.means(method, strength, metric)
    return {concept: value for concept, value in means.items() if concept in concepts}


def difference(
    metric: str,
    scores: Mapping[str, float],
    reference: Mapping[str, float],
    families: FamiliesByConcept,
) -> str:
    """`scores` less those of the reference, and whether the two are equivalent.

    They are if the difference is within 0.05, or for the concept gain within a tenth of the
    reference's mean.
    """
    first, second = statistics.fmean(scores.values()), statistics.fmean(reference.values())
    margin = abs(second) / 10 if metric == "concept_gain" else 0.05
    (comparison,) = compare(
        {"method": scores, "reference": reference}, families, reference="reference", margin=margin
    )
    test = comparison.equivalence
    assert test, "a margin was given, and concepts are many"
    means = f"{METRICS[metric].lower()} {number(first)} less {number(second)}"
    gap = f"{test.difference:.3f} [{test.low:.3f}, {test.high:.3f}]"
    verdict = "equivalent" if test.holds else "not equivalent"
    return f"{means}: {gap}, {verdict} within {margin:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    with Store.read(parser.parse_args().run) as store:
        summary = Summary(store)
        scores(summary)
        if len(summary.strengths) > 2:
            equal_preservation_gains(summary)
        other_scorers(summary)
        kinds(summary)
        new_words(summary)
        if len(summary.strengths) > 2:
            policies(summary)
        rival = find_rival(summary, find_roles(summary, claims.load_claims()["paper"]))
        if rival and "hypertransport" in summary.methods:
            paired(summary, "hypertransport", rival.method)


if __name__ == "__main__":
    main()
