"""The tables of docs/results.md, from nothing: `python benchmarks/results.py`.

It runs the plan `equal-terms` and a tournament of its methods by the judge `clip`, or continues
them, and prints every table. With `--write docs/results.md` each goes to its place in that page,
between the comments `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import math
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

import judge
import numpy as np

from htbench.core.display import Display
from htbench.core.types import UNSTEERED
from htbench.judging.card import load_judge_card
from htbench.judging.leaderboard import read_result
from htbench.judging.ledger import Ledger
from htbench.judging.prepare import TournamentOptions, prepare_tournament
from htbench.judging.schedule import ScheduleSettings
from htbench.report import format
from htbench.report.rival import find_rival
from htbench.report.roles import find_roles
from htbench.report.sections import (
    claims,
    equal_preservation,
    novelty,
    other_scores,
    strengths,
    wording,
)
from htbench.report.sections.novelty import NoveltyScore
from htbench.report.sections.wording import WordingRow
from htbench.run import wording_runs
from htbench.run.ranking import Ranking
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate
from htbench.stats.families import Families, FamiliesByConcept
from htbench.stats.paired import compare
from htbench.stats.tradeoff import Policy, TradeOff

PLAN = "equal-terms"
_PRESENCE_AND_PRESERVATION = ("presence", "image_preservation")


def number(value: float) -> str:
    """Two decimals, no leading zero; zero has no sign."""
    text = f"{round(value, 2) + 0.0:.2f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def estimate(value: Estimate | None) -> str:
    return f"{number(value.mean)} [{number(value.low)}, {number(value.high)}]" if value else ""


def interval(value: Interval | None) -> str:
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]" if value else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, numbers to the right."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def full_strength(summary: Summary) -> str:
    """All scores, ranks and times at full strength."""
    basis = f"concept gain at strength {summary.full_strength:g}"
    ranking = summary.rank_by(HEADLINE, name="full-strength", title="Gain", basis=basis)
    return _scores(summary, ranking)


def tuned(summary: Summary) -> str:
    """All scores, ranks and times at the strengths chosen on dev concepts."""
    return _scores(summary, summary.ranking)


def _scores(summary: Summary, ranking: Ranking) -> str:
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
    own = table(["method", "rank", "tier", *metrics, "time per concept", "training"], rows)
    cells = f"{summary.done:,} of {summary.planned:,} cells done"
    clusters = Families.of(list(summary.facts.concepts), summary.families).clusters
    concepts = f"{summary.concepts} concepts, {clusters:.3g} independent of each other"
    basis = f"Ranked by {ranking.basis}. Mean over {concepts} [95 % interval]; {cells}."
    return f"{own}\n\n{basis}"


def equal_preservation_gains(summary: Summary) -> str:
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
    return table(["method", "rank", "tier", f"gain at {found.level:g} of the image kept", ""], rows)


def other_scorers(summary: Summary) -> str:
    """Scores of scorers that are no encoders, and how far they agree with the leaderboard's."""
    parts = []
    for board in other_scores.collect(summary):
        rows = [[f"`{line.method}`", estimate(line.estimate)] for line in board.lines]
        parts.append(table(["method", board.name], rows))
        parts += [f"- {agreement.sentence}." for agreement in board.agreements]
    return "\n\n".join(parts)


def kinds(summary: Summary) -> str:
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
    return table([title, *(f"{name} ({counts[name]})" for name in names)], rows)


def new_words(summary: Summary) -> str:
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
    if not methods:
        return ""
    first = methods[0]
    known, new = (score.score.n if score else 0 for score in (first.known, first.novel))
    beside = [f"`{first.reference}`", "difference"]
    heads = [f"known words ({known})", *beside, f"new words ({new})", *beside]
    return table(["presence", *heads, "lost on new words"], rows)


def wordings(summary: Summary) -> str:
    """Presence at full strength in each wording, and the change on the concepts that have it."""
    given = [method for method in summary.methods if method != UNSTEERED]
    section = wording.collect_at(summary, dict.fromkeys(given, summary.full_strength))
    if section is None:
        return ""
    rows = []
    for name in (name for name in section.methods if name in section.has("given")):
        own = [section.row(name, each) for each in section.wordings]
        cells = [_in_wording(row) for row in own]
        rows.append([f"`{name}`", *cells])
    return table([f"presence at strength {summary.full_strength:g}", *section.wordings], rows)


def _in_wording(row: WordingRow) -> str:
    score = row.scores["presence"]
    if score is None or row.treatment != "given":
        return ""
    change = f"; change {estimate(score.change)}" if score.change else ""
    return f"{estimate(score.score)} ({row.concepts} concepts){change}"


def equal_presence(summary: Summary, given: Summary, *, wording: str) -> str:
    """Image preservation where HyperTransport shows as much of the concept as prompting at full
    strength, both given these words; interpolated between its strengths, 0 among them.
    """
    ours, theirs, at = "hypertransport", "prompt", given.full_strength
    rival = {metric: given.means(theirs, at, metric) for metric in _PRESENCE_AND_PRESERVATION}
    run_at = [strength for strength in strengths.strengths(given, ours) if strength > 0]
    levels = [
        {metric: given.means(ours, strength, metric) for metric in _PRESENCE_AND_PRESERVATION}
        for strength in run_at
    ]
    plain = {metric: summary.means(UNSTEERED, 0.0, metric) for metric in _PRESENCE_AND_PRESERVATION}
    concepts = sorted(
        set.intersection(*(set(each) for own in (rival, plain, *levels) for each in own.values()))
    )
    presence, kept = (
        np.array([[own[metric][concept] for own in (plain, *levels)] for concept in concepts])
        for metric in _PRESENCE_AND_PRESERVATION
    )
    curve = TradeOff(
        strengths=(0.0, *run_at),
        gain=kept,
        preservation=presence,
        families=Families.of(concepts, given.families),
    )
    level = statistics.fmean(rival["presence"][concept] for concept in concepts)
    matched = curve.matched_gain(level)
    if matched is None:
        return f"HyperTransport never has presence {number(level)} in {wording} words."
    own = dict(zip(concepts, matched.contributions.tolist(), strict=True))
    other = {concept: rival["image_preservation"][concept] for concept in concepts}
    first, second, gap, margin, holds = difference("image_preservation", own, other, given.families)
    more = statistics.fmean(own[concept] > other[concept] for concept in concepts)
    head = ["words", "concepts", "presence", "`hypertransport` keeps", "`prompt` keeps"]
    row = [wording, str(len(concepts)), number(level), f"{first} at {matched.strength:.2g}", second]
    head += ["difference", "margin", "equivalent", "`hypertransport` keeps more in"]
    return table(head, [[*row, gap, margin, holds, f"{100 * more:.0f} %"]])


def policies(summary: Summary) -> str:
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
    return table(head, rows)


def paired(summary: Summary) -> str:
    """HyperTransport less the best per-concept method and LinEAS with the same penalty.

    At full strength and at the strengths chosen for them; on all concepts, and on those in words
    that HyperTransport was trained with or not.
    """
    rival = find_rival(summary, find_roles(summary, claims.load_claims()["paper"]))
    references = [rival.method] if rival else []
    method, rows = "hypertransport", []
    for reference in dict.fromkeys([*references, "lineas-l2"]):
        for at in _strengths(summary, (method, reference)):
            rows += _differences(summary, method, reference, at)
    head = ["less", "strengths", "concepts", "score", "", "", "difference", "margin", "equivalent"]
    return table(head, rows)


def _strengths(summary: Summary, methods: Sequence[str]) -> list[dict[str, float]]:
    """Full strength for all, and the strengths chosen on dev concepts."""
    chosen = {line.method: line.strength for line in summary.tuned}
    full = dict.fromkeys(methods, summary.full_strength)
    return [full, chosen] if chosen.keys() >= set(methods) else [full]


def _differences(
    summary: Summary, method: str, reference: str, at: Mapping[str, float]
) -> list[list[str]]:
    concepts = set(summary.facts.concepts)
    novel = set(summary.facts.methods[method].audit.novel or ())
    sorts = {"all": concepts, "known words": concepts - novel, "new words": concepts & novel}
    return [
        [
            f"`{reference}`",
            f"{at[method]:g}, {at[reference]:g}",
            f"{sort} ({len(selection)})",
            METRICS[metric].lower(),
            *difference(
                metric,
                _means(summary, method, at[method], metric, selection),
                _means(summary, reference, at[reference], metric, selection),
                summary.families,
            ),
        ]
        for sort, selection in sorts.items()
        for metric in ("presence", "concept_gain", "image_preservation")
        if selection
    ]


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
) -> list[str]:
    """Both means, their difference with a 90 % interval, the margin, and whether it holds.

    The margin is 0.05, or for the concept gain a tenth of the reference's mean.
    """
    first, second = statistics.fmean(scores.values()), statistics.fmean(reference.values())
    margin = abs(second) / 10 if metric == "concept_gain" else 0.05
    (comparison,) = compare(
        {"method": scores, "reference": reference}, families, reference="reference", margin=margin
    )
    test = comparison.equivalence
    assert test, "a margin was given, and concepts are many"
    gap = f"{test.difference:.3f} [{test.low:.3f}, {test.high:.3f}]"
    return [
        number(first), number(second), gap, f"{margin:.3f}", "yes" if test.holds else "no"
    ]  # fmt: skip


TABLES: dict[str, Callable[[Summary], str]] = {
    "full strength": full_strength,
    "chosen strengths": tuned,
    "equal preservation": equal_preservation_gains,
    "detector": other_scorers,
    "kinds": kinds,
    "words": new_words,
    "differences": paired,
    "wordings": wordings,
    "strengths": policies,
}


def tournament(run: Path, pairs: int, methods: tuple[str, ...] = ()) -> str:
    """Leaderboards of these methods, or of all, by the judge `clip`."""
    options = TournamentOptions(methods=methods, schedule=ScheduleSettings(pairs=pairs))
    with Ledger.open(run) as ledger:
        played = prepare_tournament(run, ledger, load_judge_card("clip"), options, Display())
        played.play()
        return judge.markdown(read_result(ledger, played.id))


def _equal_presence(run: Path) -> str:
    """The table of `equal_presence` for synonyms."""
    with Store.read(run) as store, Store.read(wording_runs.folder(run, "synonym")) as further:
        return equal_presence(Summary(store), Summary(further), wording="synonym")


def write(page: Path, tables: Mapping[str, str]) -> None:
    """Put each table in its place in `page`."""
    text = page.read_text(encoding="utf-8")
    for name, own in tables.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise SystemExit(f"{page} has no place {start.strip()}")
        text = f"{before}{start}\n{own}\n\n{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--workers", default="2")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables in this page")
    options = parser.parse_args()
    command = [sys.executable, "-m", "htbench", "run", PLAN, "--workers", options.workers]
    subprocess.run([*command, "--runs-dir", str(options.runs_dir), "--name", PLAN], check=True)
    run = options.runs_dir / PLAN
    with Store.read(run) as store:
        summary = Summary(store)
        tables = {name: make(summary) for name, make in TABLES.items()}
        pairs = math.comb(len(summary.methods), 2) * summary.concepts
    tables["tournament"] = tournament(run, pairs)
    synonyms, both = wording_runs.folder(run, "synonym"), ("prompt", "hypertransport")
    tables["judged synonyms"] = tournament(synonyms, 10 * summary.concepts, both)
    tables["equal presence"] = _equal_presence(run)
    if options.write:
        write(options.write, tables)
    else:
        print("\n\n".join(f"{name}\n\n{own}" for name, own in tables.items()))


if __name__ == "__main__":
    main()
