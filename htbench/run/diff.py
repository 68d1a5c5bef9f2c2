"""Comparison of two runs, cell by cell."""

from collections import defaultdict
from dataclasses import dataclass

from htbench.core.errors import UsageError
from htbench.run import wording_runs
from htbench.run.cell_table import IS_FAILURE
from htbench.run.summary import METRICS, Summary
from htbench.scorers.metric_table import METRIC_TABLE
from htbench.stats import estimates
from htbench.steering.wording import CANONICAL, WORDINGS, Wording

_WORST = {metric.name: metric.worst for metric in METRIC_TABLE}
CellIndex = dict[tuple[Wording, str, str, str, int, float], tuple[int, str]]
"""Id and image key by wording, method, concept, prompt, seed and strength."""
Outcomes = dict[tuple[Wording, int], dict[str, float]]
"""Scores of each cell by metric, by wording and id."""


@dataclass(frozen=True, kw_only=True)
class ScoreChange:
    """The mean difference of a score of one method at one strength, second run minus first.

    It is taken over the cells that both runs have, failed ones with the worst value.
    """

    method: str
    strength: float
    wording: Wording
    metric: str
    estimate: estimates.Estimate
    pairs: int
    same_images: int
    """Pairs whose images have the same identity."""
    failed: int
    """Pairs in which a cell failed in either run."""


@dataclass(frozen=True, kw_only=True)
class RunDiff:
    """Number of common cells, and differences of settings and scores, of two runs."""

    settings: dict[str, tuple[object, object]]
    """Settings of plans, models and scorers that differ, with both values."""
    only_first: int
    only_second: int
    paired: int
    identical: int
    """Number of common cells with the same image and the same scores."""
    changes: list[ScoreChange]
    """Scores that differ."""

    @property
    def sentence(self) -> str:
        """The result in a sentence."""
        if self.identical < self.paired:
            same = f"Identical on {self.identical:,} of {self.paired:,} shared cells"
            return f"{same}; differences are second minus first."
        return f"Identical on all {self.paired:,} shared cells."


def compare_runs(first: Summary, second: Summary) -> RunDiff:
    """Paired differences, second minus first, with intervals that resample concepts.

    Raises:
        UsageError: if the runs share no cell, or are scored by different encoders.
    """
    if first.scorer != second.scorer:
        raise UsageError(
            f"the runs are scored by different encoders, {first.scorer!r} and {second.scorer!r}: "
            "their scores cannot be compared"
        )
    mine, theirs = _cells(first), _cells(second)
    before_by_cell, after_by_cell = _outcomes(first), _outcomes(second)
    shared = mine.keys() & theirs.keys()
    if not shared:
        raise UsageError(
            "the runs have no cell in common", remedy="See what they hold: htbench check RUN"
        )
    groups: dict[tuple[Wording, str, float, str], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    same: dict[tuple[Wording, str, float, str], int] = defaultdict(int)
    failed: dict[tuple[Wording, str, float, str], int] = defaultdict(int)
    identical = 0
    for cell in sorted(shared):
        wording, method, concept, _, _, strength = cell
        before = before_by_cell.get((wording, mine[cell][0]), {})
        after = after_by_cell.get((wording, theirs[cell][0]), {})
        identical += mine[cell][1] == theirs[cell][1] and before == after
        for metric in METRICS:
            if metric in before and metric in after:
                group = wording, method, strength, metric
                groups[group][concept].append(after[metric] - before[metric])
                same[group] += mine[cell][1] == theirs[cell][1]
                failed[group] += _WORST in (before, after)
    changes = [
        ScoreChange(
            method=method,
            strength=strength,
            wording=wording,
            metric=metric,
            estimate=estimate,
            pairs=sum(map(len, values.values())),
            same_images=same[wording, method, strength, metric],
            failed=failed[wording, method, strength, metric],
        )
        for (wording, method, strength, metric), values in groups.items()
        if any(map(any, values.values()))
        and (estimate := estimates.over_concepts(values, first.families))
    ]
    order = {method: k for k, method in enumerate(first.methods)}
    changes.sort(
        key=lambda change: (
            order[change.method],
            change.strength,
            list(WORDINGS).index(change.wording),
            list(METRICS).index(change.metric),
        )
    )
    return RunDiff(
        settings=_changed_settings(first, second),
        only_first=len(mine) - len(shared),
        only_second=len(theirs) - len(shared),
        paired=len(shared),
        identical=identical,
        changes=changes,
    )


def _cells(summary: Summary) -> CellIndex:
    query = "SELECT method, concept, prompt, seed, strength, id, image FROM cells"
    return {
        (wording, *key): (id_, image)
        for wording, store in wording_runs.every_run(summary.store, summary.facts)
        for *key, id_, image in store.select(query)
        if wording == CANONICAL or key[-1] != 0  # an unsteered image has no wording
    }


def _outcomes(summary: Summary) -> Outcomes:
    """Scores of each cell by metric; the worst values of a cell whose image could not be made."""
    scored = "SELECT cell, metric, value FROM scores WHERE encoder = ? AND value IS NOT NULL"
    lost = f"""SELECT id FROM failures JOIN images USING (key) JOIN cells ON image = key
               WHERE {IS_FAILURE}"""
    outcomes: Outcomes = defaultdict(dict)
    for wording, store in wording_runs.every_run(summary.store, summary.facts):
        for cell, metric, value in store.iterate(scored, summary.scorer):
            outcomes[wording, cell][metric] = value
        outcomes |= {(wording, cell): _WORST for (cell,) in store.select(lost)}
    return outcomes


def _changed_settings(first: Summary, second: Summary) -> dict[str, tuple[object, object]]:
    found = {}
    for name in ("plan", "model", "scorer", "environment"):
        before, after = (getattr(run.facts, name).stored for run in (first, second))
        if before and after:
            keys = [
                key
                for key in dict.fromkeys((*before, *after))
                if before.get(key) != after.get(key) and key != "started"
            ]
            found.update({f"{name}.{key}": (before.get(key), after.get(key)) for key in keys})
    return found
