"""Tables of a run as pandas frames, with the same column types for every run."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from htbench.core.errors import Missing, UnknownName, not_installed
from htbench.core.types import encoder_name
from htbench.judging import pointwise_scores
from htbench.judging.ledger import Ledger
from htbench.judging.outcome import match_outcome, preference
from htbench.report import csv_tables, leaderboard_files
from htbench.report.sections import task
from htbench.run.summary import METRICS, Summary

if TYPE_CHECKING:
    from pandas import DataFrame

Types = Mapping[str, object]
"""Types of columns by name, in order."""
_ENDS = ("", "_low", "_high")
_SCORES = {f"{metric}{end}": "float64" for metric in METRICS for end in _ENDS}
_LEADERBOARD: Types = {
    "method": "category",
    "strength": "float64",
    "rank": "Int64",
    "rank_high": "Int64",
    "rank_low": "Int64",
    "tier": "Int64",
    **_SCORES,
    "concept_seconds": "float64",
    "training_seconds": "float64",
    "concepts": "Int64",
    "done": "Int64",
    "failed": "Int64",
    "planned": "Int64",
    "circular": "boolean",
    "unranked": "string",
}
_CELLS: Types = {
    "method": "category",
    "concept": "category",
    "kind": "category",
    "prompt": "category",
    "seed": "Int64",
    "strength": "float64",
    "file": "string",
    "seconds": "float64",
    "session": "Int64",
    "blank": "category",
    "failure": "category",
}
_TIMINGS: Types = {
    "phase": "category",
    "method": "category",
    "concept": "category",
    "seconds": "float64",
    "together": "Int64",
    "device": "category",
    "session": "Int64",
}
_VOTES: Types = {
    "judge": "category",
    "model": "category",
    "criterion": "category",
    "control": "category",
    "concept": "category",
    "prompt": "category",
    "seed": "Int64",
    "one": "category",
    "two": "category",
    "preference": "float64",
    "outcome": "category",
}
_SESSIONS: Types = {
    "session": "Int64",
    "run": "string",
    "command": "string",
    "device": "string",
    "threads": "Int64",
    "htbench": "string",
    "started": "datetime64[ns, UTC]",
    "ended": "datetime64[ns, UTC]",
}
_NAMES = (
    *("method", "concept", "kind", "prompt", "flaw", "failure", "wording", "metric", "scorer"),
    *("phase", "device", "judge", "criterion", "one", "two", "source", "claim", "verdict"),
    *("treatment", "policy", "score", "better", "encoder", "trained_on", "ranked_by", "bundle"),
)
_TEXTS = ("text", "file", "message", "words", "unranked", "evidence", "reason", "matched_note")
_COUNTS = (
    *("cell", "seed", "together", "rank", "rank_low", "rank_high", "tier", "votes", "concepts"),
    *("pictures", "flawed", "planned", "done", "failed", "scored", "curves", "flat", "incomplete"),
    *("fits", "fit_seeds", "kinds", "near_floor", "matched_rank", "matched_rank_low"),
    *("matched_rank_high", "matched_tier"),
)
_TYPES: Types = {
    **dict.fromkeys(_NAMES, "category"),
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(_COUNTS, "Int64"),
    **dict.fromkeys(("circular", "keeps_floor", "chosen_keeps", "gain_still_rises"), "boolean"),
}
"""Types of the columns of `table` that hold no `float64`."""
_ENDINGS: Types = {"_fit": "category", "_rule": "category", "_fitted_together": "Int64"}
"""Types of further columns by the end of their name."""


def leaderboard(summary: Summary) -> "DataFrame":
    """A row per method at the strength of the leaderboard, in its order."""
    section = task.collect(summary)
    return strengths(summary)[: len(section.rows if section else summary.leaderboard)]


def strengths(summary: Summary) -> "DataFrame":
    """A row per method and strength: the leaderboard, then all other strengths.

    Those of a task other than adding concepts have its measures in place of the scores.

    Scores and times that imported pictures cannot have are NaN.
    """
    types, section = _LEADERBOARD, task.collect(summary)
    if section:
        measures = [f"{each.name}{end}" for each in section.task.measures for end in _ENDS]
        scores = dict.fromkeys(measures, "float64")
        types = {
            **{name: each for name, each in types.items() if name not in _SCORES},
            **scores,
        }
    rows = [[row.get(name) for name in types] for row in leaderboard_files.rows(summary)]
    return _frame(rows, types, summary)


def cells(summary: Summary, *, scorer: str | None) -> "DataFrame":
    """A row per planned cell, with the scores of an encoder, of all other scorers, and of judges
    that were asked about one picture at a time.
    """
    query = """SELECT method, concept, concept, prompt, seed, strength, file, seconds, session,
                      flaw, CASE WHEN file IS NULL THEN failures.kind END, cells.id
               FROM cells JOIN images ON images.key = image
               LEFT JOIN failures ON failures.key = image ORDER BY place"""
    kinds = {name: concept.kind for name, concept in summary.facts.concepts.items()}
    rows = [(*row[:2], kinds.get(row[2]), *row[3:]) for row in summary.store.select(query)]
    frame = _frame(rows, {**_CELLS, "id": "int64"}, summary).set_index("id")
    encoder = _encoder_id(summary, scorer)
    others = {gauge.id for gauge in summary.facts.gauges}
    columns: dict[str, dict[int, float | None]] = {metric: {} for metric in METRICS}
    columns |= {gauge.name: {} for gauge in summary.facts.gauges}
    for cell, metric, by, value in summary.store.scores():
        if by == encoder or by in others:
            columns[metric][cell] = value
    for name, values in {**columns, **_pointwise(summary)}.items():
        frame[name] = _pandas().Series(values, dtype="float64").reindex(frame.index)
    return frame.reset_index(drop=True)


def _pointwise(summary: Summary) -> dict[str, dict[int, float]]:
    """The probability of yes of each cell, by the name of the score."""
    columns: dict[str, dict[int, float]] = {}
    scores = pointwise_scores.read_scores(summary)
    if scores:
        query = "SELECT method, strength, concept, prompt, seed, id FROM cells"
        ids = {tuple(key): id_ for *key, id_ in summary.store.select(query)}
        for each in scores:
            column = columns.setdefault(each.name, {})
            own = pointwise_scores.values(summary, each)
            column |= {ids[key]: value for key, value in own.items() if key in ids}
    return columns


def timings(summary: Summary) -> "DataFrame":
    """A row per timing of a run's own."""
    query = """SELECT phase, method, concept, seconds, together, device, session
               FROM timings ORDER BY id"""
    return _frame(summary.store.select(query), _TIMINGS, summary)


def sessions(summary: Summary) -> "DataFrame":
    """A row per session."""
    pd = _pandas()
    rows = [
        (
            each.id,
            each.run or None,
            each.command,
            each.environment.stored.get("device"),
            each.environment.stored.get("threads"),
            each.environment.stored.get("htbench"),
            *(pd.to_datetime(time or None, utc=True) for time in (each.started, each.ended)),
        )
        for each in summary.facts.sessions
    ]
    return _frame(rows, _SESSIONS, summary)


def votes(summary: Summary) -> "DataFrame":
    """A row per match of the run's judges."""
    rows: list[tuple[object, ...]] = []
    with suppress(Missing), Ledger.read(summary.store.folder) as ledger:
        for id_, about in ledger.tournaments().items():
            for result in ledger.results(id_):
                match = result.match
                rows.append(
                    (
                        about["judge"],
                        about["model"],
                        match.criterion,
                        match.control or None,
                        match.concept,
                        match.prompt,
                        match.seed,
                        match.one,
                        match.two,
                        preference(result),
                        match_outcome(result),
                    )
                )
    return _frame(rows, _VOTES, summary)


def table_names(summary: Summary) -> list[str]:
    """Names of the tables that the run has something for."""
    return [each.name for each in csv_tables.tables(summary)]


def table(summary: Summary, name: str) -> "DataFrame":
    """A table of the report by its name."""
    every = {each.name: each for each in csv_tables.tables(summary)}
    if name not in every:
        raise UnknownName("table of the run", name, every)
    chosen = every[name]
    types = {column: _column_type(column) for column in chosen.head}
    return _frame(chosen.rows, types, summary)


def _column_type(column: str) -> object:
    by_ending = (kind for ending, kind in _ENDINGS.items() if column.endswith(ending))
    return _TYPES.get(column) or next(by_ending, "float64")


def _frame(rows: Iterable[Sequence[object]], types: Types, summary: Summary) -> "DataFrame":
    """The rows with these types; categories of methods and concepts are in the plan's order."""
    orders = {"method": summary.methods, "concept": list(summary.facts.concepts)}
    frame: DataFrame = _pandas().DataFrame(list(rows), columns=list(types), dtype=object)
    frame = frame.astype(dict(types))
    for name in types.keys() & orders.keys():
        values = frame[name].cat.categories
        order = [each for each in orders[name] if each in values]
        order += [each for each in values if each not in order]
        frame[name] = frame[name].cat.set_categories(order)
    return frame


def _pandas() -> Any:
    """The module pandas, of an extra; all else of a run is read without it."""
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise not_installed(error) or error from None
    return pandas


def _encoder_id(summary: Summary, name: str | None) -> str:
    """The id of an encoder of the run; None: that of the headline."""
    if name is None:
        return summary.scorer
    ids = {encoder_name(encoder.id): encoder.id for encoder in summary.facts.scorers}
    if name not in ids:
        raise UnknownName("encoder of the run", name, ids)
    return ids[name]
