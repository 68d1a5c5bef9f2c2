"""What a run made of what was planned, method by method, and why the rest is missing."""

from dataclasses import dataclass, field

from htbench.leaderboard import METRICS, Summary


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Cells of one method at all strengths; the denominator is always what was planned."""

    method: str
    planned: int
    made: int
    """With an image."""
    scored: int
    """With all scores of the headline's scorer."""
    failed: dict[str, int] = field(default_factory=dict)
    """Without an image after a try, by the kind of failure."""

    @property
    def pending(self) -> int:
        """Not tried yet."""
        return self.planned - self.made - sum(self.failed.values())


def collect(summary: Summary) -> list[Coverage]:
    """Of every method, in the order of the plan."""
    failed: dict[str, dict[str, int]] = {method: {} for method in summary.methods}
    query = "SELECT method, kind, count(*) FROM cells JOIN images ON key = image JOIN failures USING (key) WHERE file IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
    for method, kind, cells in summary.store.select(query):
        failed[method][kind] = cells
    scored = "SELECT cell FROM scores WHERE encoder = ? GROUP BY cell HAVING count(value) >= ?"
    query = f"""SELECT method, count(*), count(file), count(CASE WHEN file IS NOT NULL THEN done.cell END)
                FROM cells JOIN images ON key = image LEFT JOIN ({scored}) AS done ON done.cell = id GROUP BY 1"""
    rows = {method: found for method, *found in summary.store.select(query, summary.scorer, len(METRICS))}
    return [Coverage(method=method, planned=rows[method][0], made=rows[method][1], scored=rows[method][2], failed=failed[method]) for method in summary.methods]
