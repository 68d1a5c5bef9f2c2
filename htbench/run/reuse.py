"""Reuse of what other runs beside a run have made already: trainings, fits, images and scores.

Everything is taken by its content: an intervention and an image by the digest of all that can
change it, a score by the bytes of the images that it was read from. Times keep their session.
"""

import os
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from htbench.core import content
from htbench.core.errors import HtbenchError
from htbench.run.context import RunContext
from htbench.run.fact_table import Facts
from htbench.run.store import Store, image_file, read_image
from htbench.scorers.metric_table import METRIC_TABLE
from htbench.scorers.scorer import scorer_id
from htbench.steering.training import steering_key
from htbench.steering.wording import CANONICAL

_RUNS = (
    "*/run.sqlite",
    "*/tuning/run.sqlite",
    "*/fit-seeds/*/run.sqlite",
    "*/wordings/*/run.sqlite",
)
"""Stores of runs, of their runs on dev concepts, of their further fit seeds and wordings."""
ScoreKey = tuple[str, str, str, str, str]
"""The image's file, that of the unsteered image, the prompt, the concept's digest and the method.

Scores depend on the method by its place in a batch alone, to the last bit.
"""


@dataclass(frozen=True, kw_only=True)
class Reused:
    """Numbers of what was taken from one other run."""

    run: str
    fits: int
    images: int
    scores: int

    def __str__(self) -> str:
        counts = {"intervention": self.fits, "image": self.images, "score": self.scores}
        parts = [
            f"{number:,} {what}{'' if number == 1 else 's'}"
            for what, number in counts.items()
            if number
        ]
        return f"taken from run {self.run}, which has the same: {', '.join(parts)}"


def take_trainings(context: RunContext) -> None:
    """Take trained methods that this run would train, from the folders of other runs."""
    plan = context.plan
    concepts, seed = plan.concept_set.splits["train"], plan.settings.seed
    for card in plan.cards.values():
        file = f"steering-{steering_key(card, context.model.revision, concepts, seed=seed)}"
        for folder in _others(context):
            if not (context.maps / file).exists() and (folder / "maps" / file).is_file():
                _link(folder / "maps" / file, context.maps / file)


def take(context: RunContext) -> Iterator[Reused]:
    """Take the fits, images and scores that the planned cells still lack, run by run.

    What the run's own parts give each other, such as unsteered images, is not told.
    """
    need = _Need.of(context)
    for folder in _others(context) if need else ():
        reused = None
        with suppress(HtbenchError), Store.read(folder) as other:
            if (facts := Facts.read(other)).model.revision == context.model.revision:
                reused = _Source(context=context, need=need, other=other, facts=facts).take()
        if reused and (reused.fits or reused.images or reused.scores):
            if _run_of(context, folder) != _run_of(context, context.store.folder):
                yield reused
            need = _Need.of(context)
            if not need:
                return


def _others(context: RunContext) -> list[Path]:
    """Folders of the other stores in the folder of this run's runs."""
    folders = (path.parent for pattern in _RUNS for path in sorted(context.runs.glob(pattern)))
    return [folder for folder in folders if folder.resolve() != context.store.folder.resolve()]


@dataclass(frozen=True, kw_only=True)
class _Need:
    """The fits, images and scores that the planned cells lack."""

    fits: frozenset[tuple[str, str]]
    """Methods and concepts without an intervention, in canonical words."""
    images: frozenset[str]
    """Keys of images."""
    unscored: Mapping[str, int]
    """Numbers of cells without all scores, by scorer."""

    def __bool__(self) -> bool:
        return bool(self.fits or self.images or any(self.unscored.values()))

    @classmethod
    def of(cls, context: RunContext) -> "_Need":
        store = context.store
        taken = context.frozen.methods
        return cls(
            fits=frozenset(
                (method, concept.id)
                for method in context.steerings
                for concept in context.plan.concepts
                if context.plan.wording == CANONICAL
                and not context.map_path(method, concept).exists()
            ),
            images=frozenset(store.pending_keys(without=taken)),
            unscored={
                id_: store.unscored_count(id_, n, without=taken)
                for id_, n in _scorers(context).items()
            },
        )


def _scorers(context: RunContext) -> dict[str, int]:
    """Numbers of scores per cell, by scorer."""
    return {
        **{encoder.id: len(METRIC_TABLE) for encoder in context.encoders},
        **{scorer_id(scorer): 1 for scorer in context.scorers},
    }


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Another run that something is taken from."""

    context: RunContext
    need: _Need
    other: Store
    facts: Facts
    """The facts of the other run."""
    _sessions: dict[int | None, int | None] = field(default_factory=dict)
    """Numbers of its sessions in this run, by their numbers in the other."""

    def take(self) -> Reused:
        fits, images = self._take_fits(), self._take_images()
        own = Facts.read(self.context.store)
        is_same_set = self.facts.concept_set.stored == own.concept_set.stored
        is_same_task = self.facts.task.name == own.task.name
        scores = self._take_scores() if is_same_set and is_same_task else 0
        name = os.path.relpath(self.other.folder, self.context.runs)
        return Reused(run=name, fits=fits, images=images, scores=scores)

    def _take_fits(self) -> int:
        """Take interventions with the times of their fits."""
        context, rows = self.context, []
        labels = {method.digest: name for name, method in self.facts.methods.items()}
        names = {concept.digest: name for name, concept in self.facts.concepts.items()}
        times: dict[tuple[str, str], list[tuple[float, str, int, int]]] = {}
        query = """SELECT method, concept, seconds, device, together, session
                   FROM timings WHERE phase = ?"""
        for method, concept, *time in self.other.select(query, "towards"):
            times.setdefault((method, concept), []).append(tuple(time))
        taken = 0
        for method, id_ in self.need.fits:
            concept = context.plan.concepts_by_id[id_]
            path = context.map_path(method, concept)
            source = self.other.folder / "maps" / path.name
            label = labels.get(context.steerings[method].digest, "")
            known = times.get((label, names.get(concept.digest, "")))
            if known and source.is_file():
                _link(source, path)
                rows += [(method, id_, *time) for time in known]
                taken += 1
        if rows:
            with context.store.writing() as (write, _):
                write.executemany(
                    """INSERT OR IGNORE INTO timings
                       (phase, method, concept, seconds, device, together, session)
                       VALUES ('towards', ?, ?, ?, ?, ?, ?)""",
                    [(*row, self._session(write, at)) for *row, at in rows],
                )
        return taken

    def _take_images(self) -> int:
        """Take images whose files are what was written, with the times that they took."""
        store, rows = self.context.store, []
        query = "SELECT file, flaw, seconds, batch, session, key FROM images WHERE file IS NOT NULL"
        for file, *rest, session, key in self.other.iterate(query):
            if key not in self.need.images:
                continue
            with suppress(HtbenchError):
                if image_file(read_image(self.other.image_path(file))) == file:
                    _link(self.other.image_path(file), store.image_path(file))
                    rows.append((file, *rest, session, key))
        if rows:
            with store.writing() as (write, _):
                write.executemany(
                    """UPDATE images SET file = ?, flaw = ?, seconds = ?, batch = ?, session = ?
                       WHERE key = ?""",
                    [(*row, self._session(write, session), key) for *row, session, key in rows],
                )
                write.executemany(
                    "DELETE FROM failures WHERE key = ?", [(row[-1],) for row in rows]
                )
        return len(rows)

    def _take_scores(self) -> int:
        """Take the scores of cells whose images have the same bytes."""
        context, store = self.context, self.context.store
        digests = {id_: concept.digest for id_, concept in context.plan.concepts_by_id.items()}
        theirs = {name: concept.digest for name, concept in self.facts.concepts.items()}
        cells = {key: id_ for id_, key in _score_keys(self.other, theirs)}
        own = dict(_score_keys(store, digests))
        taken = 0
        for encoder, number in _scorers(context).items():
            wanted = defaultdict[int, list[int]](list)
            for id_ in store.unscored(encoder, number, without=context.frozen.methods):
                if (key := own.get(id_)) in cells:
                    wanted[cells[key]].append(id_)
            query = "SELECT cell, metric, value FROM scores WHERE encoder = ?"
            rows = [
                (id_, metric, encoder, value)
                for cell, metric, value in self.other.iterate(query, encoder)
                for id_ in wanted.get(cell, ())
            ]
            store.add_scores(rows)
            taken += len(rows)
        return taken

    def _session(self, write: sqlite3.Connection, number: int | None) -> int | None:
        """This run's number of a session of the other run, whose row is written if it is new."""
        if number not in self._sessions:
            name = _run_of(self.context, self.other.folder)
            for session in self.other.sessions():
                if session.id == number:
                    copy = replace(session, run=session.run or name)
                    self._sessions[number] = self.context.store.add_session(write, copy)
        return self._sessions.get(number)


def _score_keys(store: Store, digests: Mapping[str, str]) -> Iterator[tuple[int, ScoreKey]]:
    """Each cell that has an image and an unsteered one, with what its scores depend on."""
    plain = {seed: file for seed, (_, file) in store.unsteered_images().items()}
    query = """SELECT cells.id, concept, prompt, seed, file, method
               FROM cells JOIN images ON key = image WHERE file IS NOT NULL"""
    for id_, concept, prompt, seed, file, method in store.iterate(query):
        if (prompt, seed) in plain and concept in digests:
            yield id_, (file, plain[prompt, seed], prompt, digests[concept], method)


def _run_of(context: RunContext, folder: Path) -> str:
    """The name of the run that a folder of runs, or a part of one, belongs to."""
    return folder.absolute().relative_to(context.runs).parts[0]


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`; a copy where the disk has no links."""
    with content.replacing(target) as fresh:
        try:
            os.link(source.resolve(), fresh)
        except OSError:
            shutil.copyfile(source, fresh)
