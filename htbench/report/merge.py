"""Several runs as reports of models: runs of one grid that differ in methods alone become one run.

Runs of other models or concepts get reports of their own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from htbench.core.errors import Refused
from htbench.run import wording_runs
from htbench.run.fact_table import ActivationScoreFacts, Facts, SetScoreFacts
from htbench.run.plan import SETTING_EFFECTS, comparable
from htbench.run.sessions import Session
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering.wording import CANONICAL, WORDINGS

_NAMELESS = "RUN"
"""Name, in the commands on a page, of a run that is kept nowhere."""
_REPORT_SETTINGS = ("model", "weights", "model_options", "concept_set", "concepts", "limit")
"""Settings that decide to which report a run belongs."""
_SHARED_SETTINGS = sorted(
    frozenset().union(*SETTING_EFFECTS.values())
    - {"methods", "fit_seeds", "wording", *_REPORT_SETTINGS}
)
"""Settings that the runs of one report share."""
_LOADED_FACTS = (("model", "revision"), ("concept_set", "version"), ("scorer", "id"))
"""Facts about what was loaded, which the runs of one report share too."""


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """One model on one selection of concepts."""

    name: str
    slug: str
    """Name of its folder."""
    summary: Summary


class MergedStore(Store):
    """A store merged from others, whose pictures stay in the folders of their runs."""

    def image_path(self, file: str) -> Path:
        """Path of a picture, in the folder of the first run that has it."""
        paths = (folder / "images" / Path(file).name for folder in self._sources)
        return next((path for path in paths if path.is_file()), super().image_path(file))

    def add_rows(self, tables: Mapping[str, Sequence[Sequence[object]]]) -> None:
        """Add rows to each table.

        Of two rows with one key the first is kept, but a picture takes the place of its absence.
        """
        with self._transaction() as write:
            for name, rows in tables.items():
                if rows:
                    write.executemany(
                        f"INSERT OR IGNORE INTO {name} VALUES ({','.join('?' * len(rows[0]))})",
                        rows,
                    )
            write.executemany(
                """UPDATE images SET file = ?2, flaw = ?3, seconds = ?4, batch = ?5, session = ?6
                   WHERE key = ?1 AND file IS NULL""",
                [row for row in tables["images"] if row[1] is not None],
            )
            write.execute(
                "DELETE FROM failures WHERE key IN (SELECT key FROM images WHERE file IS NOT NULL)"
            )

    def add_sessions(self, more: Iterable[Session]) -> None:
        """Add sessions of another run."""
        with self._transaction() as write:
            for session in more:
                session.write(write)

    @cached_property
    def _sources(self) -> list[Path]:
        return [Path(folder) for folder in self.facts()["sources"]]


@contextmanager
def model_reports(folders: Sequence[Path]) -> Iterator[list[ModelReport]]:
    """The reports of these runs, in the order in which their models and concepts are first named.

    Raises:
        Missing: if one is no run.
        Refused: if runs of one model and one selection of concepts differ in more than methods.
    """
    with ExitStack() as stack:
        groups: dict[tuple[str, ...], list[Store]] = {}
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            store = stack.enter_context(Store.read(folder))
            store.select("BEGIN")  # one moment of a run that goes on
            facts = Facts.read(store)
            if facts.plan.task != "add" and len(folders) > 1:
                raise Refused(
                    f"run {folder.name!r} is of task {facts.plan.task!r}, and a report of several "
                    "runs compares methods that add concepts",
                    remedy=f"Report it by itself: htbench report {folder.name}",
                )
            groups.setdefault(_report_key(facts), []).append(store)
        reports: list[ModelReport] = []
        for name, stores in zip(_names(list(groups)), groups.values(), strict=True):
            store = stores[0]
            if len(stores) > 1:
                folder = Path(stack.enter_context(TemporaryDirectory())) / _NAMELESS
                store = stack.enter_context(_merge_stores(stores, folder))
                _merge_wordings(stores, store)
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "board"
            slug += f"-{len(reports) + 1}" if slug in {report.slug for report in reports} else ""
            reports.append(ModelReport(name=name, slug=slug, summary=Summary(store)))
        yield reports


def _report_key(facts: Facts) -> tuple[str, ...]:
    *texts, limit = (facts.plan.stored.get(name) for name in _REPORT_SETTINGS)
    return *map(_text, texts), f"first {limit} concepts" if limit else "all concepts"


def _names(groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Names of reports: the model, and the other settings in which reports differ."""
    varied = [k for k in range(1, len(_REPORT_SETTINGS)) if len({group[k] for group in groups}) > 1]
    return [
        " · ".join(
            part[:60] for part in (group[0] or "a model", *(group[k] for k in varied)) if part
        )
        for group in groups
    ]


def _text(value: object) -> str:
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else ""
        if value is None
        else str(value)
    )


@contextmanager
def _merge_stores(stores: Sequence[Store], folder: Path) -> Iterator[Store]:
    """One store made from several; a cell of several stores is taken from the first."""
    first, *others = stores
    for other in others:
        _check(first, other)
    with MergedStore.open(folder) as merged:
        for store in stores:
            _copy_rows(merged, store)
        merged.set_facts(
            **_facts([Facts.read(store) for store in stores]),
            sources=[str(store.folder) for store in stores],
        )
        yield merged


def _merge_wordings(stores: Sequence[Store], merged: Store) -> None:
    """Merge the wordings of the runs that have them, into folders below that of the merged run."""
    facts, cells = [Facts.read(store) for store in stores], {}
    for wording in WORDINGS:
        with ExitStack() as stack:
            parts = [
                stack.enter_context(Store.read(part.folder))
                for store, own in zip(stores, facts, strict=True)
                for name, part in wording_runs.further_runs(store, own)
                if name == wording
            ]
            if parts:
                folder = wording_runs.folder(merged.folder, wording)
                part = stack.enter_context(_merge_stores(parts, folder))
                part.set_facts(repeats=Facts.read(merged).grid)
                cells[wording] = part.count()
    if cells:
        plan = Facts.read(merged).plan.stored
        names = [wording for wording in WORDINGS if wording in (CANONICAL, *cells)]
        merged.set_facts(wordings=cells, plan={**plan, "wording": names})


def _check(first: Store, other: Store) -> None:
    """Refuse runs whose cells or scores cannot stand side by side."""
    one, two = Facts.read(first), Facts.read(other)
    settings = [comparable(facts.plan.stored) for facts in (one, two)]
    pairs = [(name, *(each.get(name) for each in settings)) for name in _SHARED_SETTINGS]
    pairs += [
        (f"{fact} {part}", *(getattr(facts, fact).stored.get(part) for facts in (one, two)))
        for fact, part in _LOADED_FACTS
    ]
    differing = [
        f"{name} ({_text(a) or 'none'} and {_text(b) or 'none'})" for name, a, b in pairs if a != b
    ]
    query = "SELECT DISTINCT concept, prompt, seed FROM cells"
    if not differing and set(first.select(query)) != set(other.select(query)):
        differing = ["concepts or prompts"]
    if differing:
        runs = f"{str(first.folder)!r} and {str(other.folder)!r}"
        why = f"they differ in {'; '.join(differing)}"
        raise Refused(
            f"runs {runs} cannot be one leaderboard: {why}"[:600],
            remedy="Run them with the same settings, or report them apart.",
        )


def _copy_rows(merged: MergedStore, store: Store) -> None:
    """Put the cells of `store` into `merged`, with their images, scores and times."""
    clash = _conflicting_method(merged, store)
    if clash:
        why = "its card or what it learnt differs"
        raise Refused(
            f"run {str(store.folder)!r} has another {clash!r} than the runs before it: {why}",
            remedy="Give one of the cards another name.",
        )
    cells = store.select(
        "SELECT id, method, concept, prompt, seed, strength, image, place FROM cells ORDER BY place"
    )
    merged_cells = {
        (image, concept, method): cell
        for cell, image, concept, method in merged.select(
            "SELECT id, image, concept, method FROM cells"
        )
    }
    start = max(merged_cells.values(), default=0)
    numbers = {
        cell: merged_cells.get((image, concept, method), start + cell)
        for cell, method, concept, _, _, _, image, _ in cells
    }
    rows = [
        (numbers[cell], *rest[:-1], start + rest[-1])
        for cell, *rest in cells
        if numbers[cell] > start
    ]
    scores = [
        (numbers[cell], metric, encoder, value)
        for cell, metric, encoder, value in store.scores()
        if cell in numbers
    ]
    ((last,),) = merged.select("SELECT coalesce(max(id), 0) FROM sessions")
    timings = store.select(
        f"""SELECT phase, method, concept, seconds, device, session + {last}, together
            FROM timings ORDER BY id"""
    )
    samples = store.select(
        """SELECT session, method, work, phase, concept, round, seconds, device_seconds, memory
           FROM samples"""
    )
    sessions = {session for (session,) in merged.select("SELECT DISTINCT session FROM samples")}
    tables: dict[str, Sequence[Sequence[object]]] = {
        "images": store.select(
            f"SELECT key, file, flaw, seconds, batch, session + {last} FROM images"
        ),
        "failures": store.select("SELECT key, kind, message, trace FROM failures"),
        "cells": rows,
        "scores": scores,
        "timings": [(None, *row) for row in timings],
        "samples": [(None, *row) for row in samples if row[0] not in sessions],
    }
    merged.add_rows(tables)
    merged.add_sessions(replace(each, id=each.id + last) for each in store.sessions())


def _conflicting_method(merged: Store, store: Store) -> str | None:
    """A method of both stores whose images are not the same."""
    query = "SELECT method, concept, prompt, seed, strength, image FROM cells"
    images = {tuple(cell): image for *cell, image in merged.select(query)}
    return next(
        (
            cell[0]
            for *cell, image in store.select(query)
            if images.get(tuple(cell), image) != image
        ),
        None,
    )


def _facts(runs: Sequence[Facts]) -> dict[str, object]:
    """The facts of the first run, with the methods, times and commands of all runs.

    Without further fit seeds, whose cells are not merged, and as yet without other wordings.

    Where runs have different values for one fact of the environment, it becomes a list of them.
    """
    together: dict[str, object] = {**runs[0].stored, "fit_seeds": {}}
    for name in ("methods", "tuned", "strength_scales", "timing", "concepts"):
        together[name] = {
            key: group.stored
            for facts in reversed(runs)
            for key, group in getattr(facts, name).items()
        }
    together["plan"] = {
        **runs[0].plan.stored,
        "methods": list(dict.fromkeys(method for facts in runs for method in facts.plan.methods)),
    }
    if imported := [facts.imported for facts in runs if facts.is_imported]:
        together["imported"] = {
            **imported[0].stored,
            "left_out": sum(each.left_out for each in imported),
            "problems": [problem for each in imported for problem in each.problems],
            "unpaired": sum(each.unpaired for each in imported),
            "paired": any(each.paired for each in imported),
            "notes": list(dict.fromkeys(note for each in imported for note in each.notes)),
        }
    together["set_scores"] = _merge_rows([facts.set_scores for facts in runs])
    together["activation_scores"] = _merge_rows([facts.activation_scores for facts in runs])
    environments = [facts.environment.stored for facts in runs]
    names = dict.fromkeys(name for environment in environments for name in environment)
    together["environment"] = {
        name: _common_value([environment.get(name) for environment in environments])
        for name in names
    }
    together["command"] = "\n".join(dict.fromkeys(facts.command for facts in runs))
    return together


def _merge_rows(
    runs: Sequence[Sequence[SetScoreFacts | ActivationScoreFacts]],
) -> list[dict[str, object]]:
    """The scores of all runs by one scorer; of two of one method and strength the first."""
    scorers: dict[str, dict[str, object]] = {}
    rows: dict[str, dict[tuple[str, float], object]] = {}
    for each in (each for own in runs for each in own):
        scorers.setdefault(each.id, dict(each.stored))
        for row in each.rows:
            rows.setdefault(each.id, {}).setdefault((row.method, row.strength), row.stored)
    return [{**each, "rows": list(rows.get(id_, {}).values())} for id_, each in scorers.items()]


def _common_value(values: Sequence[object]) -> object:
    return (
        values[0]
        if all(value == values[0] for value in values)
        else [_text(value) for value in values]
    )
