"""A run as a value of Python: its tables, its images and its report."""

import html
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from htbench import report
from htbench.core.errors import Missing, UnknownName
from htbench.report.current import find_current_page
from htbench.results import frames
from htbench.run.store import Store
from htbench.run.summary import Summary

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

_SHOWN = ("concept_gain", "presence", "image_preservation", "concept_seconds")
"""Columns of the leaderboard that a notebook shows of a run, besides ranks."""
_SHOWN_OF_TASKS = (
    *("removal", "rest_kept", "over_removal", "selectivity"),
    *("replaced", "old_left"),
    *("both_present", "interference", "subject_kept"),
)
"""Further ones that runs of other tasks have."""


@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """The page of a report; a notebook shows it."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        if self.path.name == "index.html":
            link = html.escape(self.path.as_posix())
            return f'<a href="{link}" target="_blank">{link}</a>'
        page = html.escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 900px; border: 0"></iframe>'


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run in a folder, finished or not; each call reads what is there now."""

    folder: Path

    def leaderboard(self) -> "DataFrame":
        """The leaderboard: a row per method at its ranked strength, the best first.

        Columns:
            method (category): name of the method.
            strength (float64): strength of steering; 0 leaves images as they are, 1 is full.
            rank, rank_high, rank_low (Int64): rank from 1, and the best and the worst rank that the
                test of all pairs leaves; NA for methods that are not ranked.
            tier (Int64): tier from 1; methods of one tier do not differ significantly from its
                first.
            concept_gain (float64): mean over concepts, -2 to 2; how much nearer the images came to
                the concept's words, as a difference of cosines. With `_low` and `_high`, the ends
                of its 95 % interval; likewise all scores below.
            presence, class_probability (float64): 0 to 1.
            prompt_preservation, image_preservation (float64): cosines, -1 to 1.
            concept_seconds (float64): median seconds from a new concept to its intervention.
            training_seconds (float64): seconds of training before the first concept.
            concepts (Int64): number of concepts.
            done, failed, planned (Int64): numbers of cells.
            circular (boolean): reads concepts with the encoder that scores, so it is not ranked.
            unranked (string): the reason why the method is not ranked; empty if it may be.

        In a run of another task than `add`, the task's measures stand in place of the scores, such
        as `removal`, with `_low` and `_high`.
        """
        with report.open_run(self.folder) as summary:
            return frames.leaderboard(summary)

    def strengths(self) -> "DataFrame":
        """The columns of the leaderboard at every strength; only ranked strengths have ranks."""
        with report.open_run(self.folder) as summary:
            return frames.strengths(summary)

    def cells(self, *, scorer: str | None = None) -> "DataFrame":
        """A row per planned cell: one image of a method, concept, prompt, seed and strength.

        Args:
            scorer: an encoder of the run; None: that of the headline.

        Columns:
            method, concept, kind, prompt (category).
            seed (Int64): seed of the image's noise.
            strength (float64).
            file (string): name of the image in the folder `images`; NA while it is missing.
            seconds (float64): seconds that the image took, as a share of its batch.
            session (Int64): the session that made the image, see `sessions`.
            blank (category): `black` or `constant` for images that show nothing.
            failure (category): the kind of failure of an image that could not be made.
            concept_gain, presence, class_probability, prompt_preservation, image_preservation
                (float64): as in `leaderboard`; NaN where there is no score.
            a column per further scorer (float64), with the scorer's name; its range and direction
                are its own.
            a column per criterion of a judge that was asked about one picture at a time (float64),
                `yes-CRITERION-JUDGE-MODEL`: the probability of yes, 0 to 1.
        """
        with report.open_run(self.folder) as summary:
            return frames.cells(summary, scorer=scorer)

    def timings(self) -> "DataFrame":
        """A row per timing that was taken while the run was made.

        Columns:
            phase (category): `towards` for the fit or prediction of one concept; `score` for the
                scoring of one cell, with the scorer as its method.
            method, concept (category): concept is empty for scoring.
            seconds (float64): above 0.
            device (category).
            session (Int64): the session that took it, see `sessions`.
        """
        with report.open_run(self.folder) as summary:
            return frames.timings(summary)

    def sessions(self) -> "DataFrame":
        """A row per session: a process that made something of the run.

        Columns:
            session (Int64): number from 1.
            run (string): the run that its images were taken over from; NA for the run's own.
            command (string).
            device (string), threads (Int64), htbench (string): the machine and the version.
            started, ended (datetime64[ns, UTC]): to the second; NaT where it is not known.
        """
        with report.open_run(self.folder) as summary:
            return frames.sessions(summary)

    def votes(self) -> "DataFrame":
        """A row per match of the run's judges; no rows if there was no judge.

        Columns:
            judge, model, criterion (category).
            control (category): kind of the control that the match is; NA for a comparison.
            concept, prompt (category), seed (Int64).
            one, two (category): the methods whose images were compared.
            preference (float64): for `one`, 0 to 1, the mean of both orders; NaN if it is missing.
            outcome (category): `won`, `lost` or `tie` for `one`; `inconsistent` where the two
                orders prefer different images; `missing`.
        """
        with report.open_run(self.folder) as summary:
            return frames.votes(summary)

    def tables(self) -> list[str]:
        """Names of the tables of the report that this run has something for, for `table`."""
        with report.open_run(self.folder) as summary:
            return frames.table_names(summary)

    def table(self, name: str) -> "DataFrame":
        """A table of the report: the rows and columns that `htbench export --to csv` writes.

        Columns that hold names are categories; counts are Int64, texts string, answers to yes or no
        boolean, and all figures float64. `_low` and `_high` are the ends of a 95 % interval. NaN or
        NA stands for what is not known, infinity for a strength that is not reached.

        Args:
            name: one of `tables()`, such as `strength_ranges`, `strength_scale`, `dose_response`,
                `strength_policies`, `costs`, `kinds`, `flaws`, `set_scores`, `ratings`, `claims`.

        Raises:
            UnknownName: for a table that the run does not have, with the nearest names.
        """
        with report.open_run(self.folder) as summary:
            return frames.table(summary, name)

    def image(
        self,
        method: str,
        concept: str,
        prompt: str | None = None,
        strength: float = 1.0,
        *,
        seed: int | None = None,
    ) -> "Image":
        """The image of one cell, as RGB.

        Args:
            prompt: None: the first of the run.
            strength: one of the run; that of method `none` is 0 always.
            seed: seed of the image's noise; None: the first of the prompt.

        Raises:
            UnknownName: for a method, concept, prompt, strength or seed that the run does not have.
            Missing: if the image is not made yet.
        """
        from PIL import Image

        with Store.read(self.folder) as store:
            place: dict[str, object] = {}
            wanted = {
                "method": method,
                "concept": concept,
                "prompt": prompt,
                "strength": 0.0 if method == "none" else float(strength),
                "seed": seed,
            }
            for name, value in wanted.items():
                place[name] = _choose(store, name, value, place)
            conditions = " AND ".join(f"{name} = ?" for name in place)
            query = f"SELECT file FROM cells JOIN images ON key = image WHERE {conditions}"
            ((file,),) = store.select(query, *place.values())
            if file is None:
                raise Missing("the image is not made yet", remedy="Issue the run's command again.")
            return Image.open(BytesIO(store.image_bytes(file))).convert("RGB")

    def report(self) -> ReportPage:
        """The page of the report, which is written unless it is there and up to date."""
        return ReportPage(path=find_current_page(self.folder) or report.write(self.folder))

    @property
    def is_complete(self) -> bool:
        """True if all cells have their image and all their scores."""
        with Store.read(self.folder) as store:
            return Summary(store).is_complete

    def _repr_html_(self) -> str:
        board = self.leaderboard()
        shown = [name for name in (*_SHOWN, *_SHOWN_OF_TASKS) if name in board]
        frame = board[["method", "rank", "tier", "strength", *shown]]
        title = f"<p>Run <code>{html.escape(str(self.folder))}</code></p>"
        return title + str(frame.to_html(index=False, float_format="{:.2f}".format))


def open_run(run: str | PathLike[str], *, runs: str | PathLike[str] = "runs") -> RunResult:
    """The run in the folder `run`, or of that name in the folder `runs`.

    Raises:
        UnknownName: if there is none, with the nearest names in `runs`.
        Refused: if it is damaged, or of another version of htbench.
    """
    for folder in (Path(run), Path(runs) / run):
        if (folder / "run.sqlite").is_file():
            Store.read(folder).close()
            return RunResult(folder=folder)
    names = [path.parent.name for path in Path(runs).glob("*/run.sqlite")]
    raise UnknownName("run", str(run), names, remedy="See: htbench list runs")


def _choose(store: Store, name: str, value: object, place: dict[str, object]) -> object:
    """The value of a column of cells among those at `place`; the first for None."""
    where = " AND ".join(["1", *(f"{known} = ?" for known in place)])
    query = f"SELECT {name} FROM cells WHERE {where} GROUP BY {name} ORDER BY min(place)"
    known = [row[0] for row in store.select(query, *place.values())]
    if value is None and known:
        return known[0]
    if value not in known:
        raise UnknownName(f"{name} of the run", str(value), map(str, known))
    return value
