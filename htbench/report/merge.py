"""Several runs as boards: runs of one grid that differ in methods alone become one run; other models and concepts get boards of their own."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from htbench.core.errors import Refused
from htbench.run.plan import SETTING_EFFECTS
from htbench.run.store import Store
from htbench.run.summary import Summary

_NAMELESS = "RUN"
"""How commands on a page name a run that is kept nowhere."""
_REPORT_SETTINGS = ("model", "weights", "model_options", "concept_set", "concepts")
"""Settings that decide which board a run belongs to."""
_SHARED_SETTINGS = sorted(
    frozenset().union(*SETTING_EFFECTS.values()) - {"methods", *_REPORT_SETTINGS}
)
"""Settings that the runs of a board share."""
_LOADED_FACTS = (("model", "revision"), ("concept_set", "version"), ("scorer", "id"))
"""What was loaded by those settings."""


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """One model on one selection of concepts."""

    name: str
    slug: str
    """Its folder."""
    summary: Summary


class MergedStore(Store):
    """A store that was put together from others; pictures stay where they are."""

    def picture(self, file: str) -> Path:
        """Where the picture of that name is."""
        there = (folder / "images" / file for folder in self._sources)
        return next((path for path in there if path.is_file()), super().image_path(file))

    def add_rows(self, tables: Mapping[str, Sequence[Sequence[object]]]) -> None:
        """Rows of each table; of two with one key the first is kept, but a picture comes before its absence."""
        with self._transaction() as write:
            for name, rows in tables.items():
                if rows:
                    write.executemany(
                        f"INSERT OR IGNORE INTO {name} VALUES ({','.join('?' * len(rows[0]))})",
                        rows,
                    )
            made = [row for row in tables["images"] if row[1] is not None]
            write.executemany(
                "UPDATE images SET file = ?2, flaw = ?3, seconds = ?4, batch = ?5 WHERE key = ?1 AND file IS NULL",
                made,
            )
            write.execute(
                "DELETE FROM failures WHERE key IN (SELECT key FROM images WHERE file IS NOT NULL)"
            )

    @cached_property
    def _sources(self) -> list[Path]:
        return [Path(folder) for folder in self.facts()["sources"]]


@contextmanager
def model_reports(folders: Sequence[Path]) -> Iterator[list[ModelReport]]:
    """The boards of these runs, in the order in which they are first named.

    Raises:
        Missing: if one is no run.
        Refused: if runs of one model and one selection of concepts differ in more than methods.
    """
    with ExitStack() as stack:
        groups: dict[tuple[str, ...], list[Store]] = {}
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            store = stack.enter_context(Store.read(folder))
            store.select("BEGIN")  # one moment of a run that goes on
            groups.setdefault(_report_key(store.facts()), []).append(store)
        names = _names(list(groups))
        found: list[ModelReport] = []
        for name, stores in zip(names, groups.values(), strict=True):
            store = (
                stores[0]
                if len(stores) == 1
                else stack.enter_context(
                    _merge_stores(
                        stores, Path(stack.enter_context(TemporaryDirectory())) / _NAMELESS
                    )
                )
            )
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "board"
            slug += f"-{len(found) + 1}" if slug in {board.slug for board in found} else ""
            found.append(ModelReport(name=name, slug=slug, summary=Summary(store)))
        yield found


def _report_key(facts: Mapping[str, Any]) -> tuple[str, ...]:
    plan = _mapping(facts.get("plan"))
    return tuple(_text(plan.get(name)) for name in _REPORT_SETTINGS)


def _names(groups: Sequence[tuple[str, ...]]) -> list[str]:
    """The model, and of the other settings those in which boards differ."""
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
    """One store of several; the first that has a cell gives it."""
    first, *others = stores
    for other in others:
        _check(first, other)
    with MergedStore.open(folder) as merged:
        for store in stores:
            _copy_rows(merged, store)
        merged.set_facts(
            **_facts([store.facts() for store in stores]),
            sources=[str(store.folder) for store in stores],
        )
        yield merged


def _check(first: Store, other: Store) -> None:
    """Refuse runs whose cells or scores cannot stand side by side."""
    one, two = first.facts(), other.facts()
    pairs = [
        (name, _mapping(one.get("plan")).get(name), _mapping(two.get("plan")).get(name))
        for name in _SHARED_SETTINGS
    ]
    pairs += [
        (f"{fact} {part}", _mapping(one.get(fact)).get(part), _mapping(two.get(fact)).get(part))
        for fact, part in _LOADED_FACTS
    ]
    differing = [
        f"{name} ({_text(a) or 'none'} and {_text(b) or 'none'})" for name, a, b in pairs if a != b
    ]
    query = "SELECT DISTINCT concept, prompt, seed FROM cells"
    if not differing and set(first.select(query)) != set(other.select(query)):
        differing = ["concepts or prompts"]
    if differing:
        raise Refused(
            f"runs {str(first.folder)!r} and {str(other.folder)!r} cannot be one leaderboard: they differ in {'; '.join(differing)}"[
                :600
            ],
            remedy="Run them with the same settings, or report them apart.",
        )


def _copy_rows(merged: MergedStore, store: Store) -> None:
    """Put the cells of `store` into `merged`, with their images, scores and times."""
    clash = _conflicting_method(merged, store)
    if clash:
        raise Refused(
            f"run {str(store.folder)!r} has another {clash!r} than the runs before it: its card or what it learnt differs",
            remedy="Give one of the cards another name.",
        )
    cells = store.select(
        "SELECT id, method, concept, prompt, seed, strength, image, place FROM cells ORDER BY place"
    )
    known = {
        (image, concept, method): cell
        for cell, image, concept, method in merged.select(
            "SELECT id, image, concept, method FROM cells"
        )
    }
    start = max(known.values(), default=0)
    numbers = {
        cell: known.get((image, concept, method), start + cell)
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
    sessions = {session for (session,) in merged.select("SELECT DISTINCT session FROM samples")}
    tables: dict[str, Sequence[Sequence[object]]] = {
        "images": store.select("SELECT key, file, flaw, seconds, batch FROM images"),
        "failures": store.select("SELECT key, kind, message, trace FROM failures"),
        "cells": rows,
        "scores": scores,
        "timings": [(None, *row) for row in store.select("SELECT phase, method, concept, seconds, device FROM timings ORDER BY id")],
        "samples": [(None, *row) for row in store.select("SELECT session, method, work, phase, concept, round, seconds, device_seconds, memory FROM samples")
                    if row[0] not in sessions],
    }  # fmt: skip
    merged.add_rows(tables)


def _conflicting_method(merged: Store, store: Store) -> str | None:
    """A method of both stores whose images are not the same."""
    query = "SELECT method, concept, prompt, seed, strength, image FROM cells"
    there = {tuple(place): image for *place, image in merged.select(query)}
    return next(
        (
            place[0]
            for *place, image in store.select(query)
            if there.get(tuple(place), image) != image
        ),
        None,
    )


def _facts(runs: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """The first run's facts, with the methods, times and commands of all; what is no longer one value is all of them."""
    together: dict[str, object] = {**runs[0]}
    for name in ("methods", "tuned", "timing", "concepts"):
        together[name] = {
            key: value
            for facts in reversed(runs)
            for key, value in _mapping(facts.get(name)).items()
        }
    plans = [_mapping(facts.get("plan")) for facts in runs]
    together["plan"] = {
        **plans[0],
        "methods": list(
            dict.fromkeys(method for plan in plans for method in plan.get("methods") or [])
        ),
    }
    environments = [_mapping(facts.get("environment")) for facts in runs]
    names = dict.fromkeys(name for environment in environments for name in environment)
    together["environment"] = {
        name: _common_value([environment.get(name) for environment in environments])
        for name in names
    }
    together["command"] = "\n".join(dict.fromkeys(str(facts.get("command", "")) for facts in runs))
    return together


def _common_value(values: Sequence[object]) -> object:
    return (
        values[0]
        if all(value == values[0] for value in values)
        else [_text(value) for value in values]
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
