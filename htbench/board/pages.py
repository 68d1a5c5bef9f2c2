"""The pages of a board, from the templates of `reports/page/board` in the style of reports."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from htbench.board import addresses, files, pictures, subjects
from htbench.board.collection import Collection
from htbench.board.files import DataTable
from htbench.board.pictures import PictureFiles
from htbench.board.subjects import ConceptSubject, MethodSubject
from htbench.board.tables import Board, Line, Table
from htbench.report import format, html
from htbench.report.charts import ForestPlot, ForestRow
from htbench.report.html import ContentPolicy
from htbench.scorers.metric_table import METRIC_TABLE

_POLICY = ContentPolicy(images="'self'", script_files=("board.js",))
_SECTIONS = (
    ("Leaderboards", "index.html#boards"),
    ("Methods", "index.html#methods"),
    ("Concepts", "index.html#concepts"),
    ("Bundles", "bundles.html"),
    ("Data", "index.html#data"),
)
_CHART_ROWS = 40
"""The most bundles of a chart."""
_METRICS = [metric.name for metric in METRIC_TABLE]


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The pages of a board, and the files of figures beside them."""

    collection: Collection
    boards: Sequence[Board]
    pictures: PictureFiles

    def all(self) -> Iterator[tuple[str, str]]:
        """The path of each file with its text; equal bundles give equal texts."""
        yield from self._page("index", self._index())
        yield "index.json", self._addresses()
        yield from _data("leaderboard", files.figures(self.boards))
        yield from self._page("bundles", self._bundles())
        yield from _data("bundles", files.bundles(self.collection.entries))
        for board in self.boards:
            yield from self._page(board.address, self._leaderboard(board))
            yield from _data(board.address, files.figures([board]))
        for method in self.methods:
            yield from self._page(method.address, self._method(method))
            yield from _data(method.address, files.figures(self.boards, method=method.name))
        for concept in self.concepts:
            tables = [place.table for place in concept.places]
            yield from self._page(concept.address, self._concept(concept))
            yield from _data(concept.address, files.concept_figures(tables, concept.concept))

    @cached_property
    def methods(self) -> list[MethodSubject]:
        """All methods."""
        return subjects.method_subjects(self.boards)

    @cached_property
    def concepts(self) -> list[ConceptSubject]:
        """All concepts."""
        return subjects.concept_subjects(self.boards)

    def _index(self) -> str:
        groups: dict[str, list[ConceptSubject]] = {}
        for concept in self.concepts:
            groups.setdefault(concept.set_title, []).append(concept)
        return self._render(
            "index",
            title="Leaderboards of bundles",
            entries=self.collection.entries,
            boards=self.boards,
            methods=self.methods,
            concepts=list(groups.items()),
        )

    def _bundles(self) -> str:
        by_terms = {table.terms: board for board in self.boards for table in board.tables}
        return self._render(
            "bundles",
            title="Bundles",
            entries=[(entry, by_terms[entry.terms]) for entry in self.collection.entries],
            address="bundles",
        )

    def _leaderboard(self, board: Board) -> str:
        return self._render(
            "leaderboard",
            title=board.title,
            board=board,
            tables=[(table, _scales(table, table.lines)) for table in board.tables],
            kinds=sorted(set().union(*(table.kinds for table in board.tables))),
            address=board.address,
        )

    def _method(self, method: MethodSubject) -> str:
        return self._render(
            "method",
            title=method.name,
            subject=method,
            places=[
                {
                    "board": place.board,
                    "table": place.table,
                    "lines": (lines := place.table.lines_of(method.name)),
                    "ends": _scales(place.table, lines),
                    "chart": self._chart(method.name, place.table, lines),
                    **self._samples(method.name, place.table),
                }
                for place in method.places
            ],
            address=method.address,
        )

    def _chart(self, method: str, table: Table, lines: Sequence[Line]) -> ForestPlot | None:
        """The headline of a method by bundle; None for a single bundle."""
        scores = [(line, line.row.scores.get(table.headline)) for line in lines[:_CHART_ROWS]]
        if len(scores) < 2:
            return None
        title = table.metrics[table.headline]
        return ForestPlot(
            title=f"{title} of {method} by bundle",
            label=title,
            estimates=[
                ForestRow(
                    name=f"{line.entry.made[:10]} {line.entry.sha256[:8]}".strip(),
                    tone=self._tones[method],
                    value=score.mean if score else math.nan,
                    low=score.low if score else math.nan,
                    high=score.high if score else math.nan,
                )
                for line, score in scores
            ],
        )

    def _samples(self, method: str, table: Table) -> dict[str, object]:
        """The pictures of a method in a table, with their captions."""
        shown = pictures.choose(table).get(method)
        if shown is None:
            return {"pictures": [], "prompt": "", "source": None}
        concepts = shown.line.entry.facts.concepts
        found = []
        for sample in (*shown.unsteered, *shown.steered):
            words = concepts[sample.concept].text if sample.concept in concepts else ""
            steered = sample in shown.steered
            caption = (words or sample.concept) if steered else "unsteered"
            found.append(
                {
                    "address": self.pictures.address(shown.line, sample),
                    "caption": caption,
                    "alt": f"{method}, {caption}" if steered else caption,
                }
            )
        return {
            "pictures": [each for each in found if each["address"]],
            "prompt": shown.steered[0].prompt,
            "source": shown.line.entry,
        }

    def _concept(self, concept: ConceptSubject) -> str:
        return self._render(
            "concept",
            title=f"{concept.concept}, {concept.set_title}",
            subject=concept,
            places=[
                {
                    "board": place.board,
                    "table": place.table,
                    "body": self._concept_rows(place.table, concept),
                }
                for place in concept.places
            ],
            kinds=sorted(set().union(*(place.table.kinds for place in concept.places))),
            address=concept.address,
        )

    def _concept_rows(self, table: Table, concept: ConceptSubject) -> Markup:
        """The rows of a concept in a table, of which a board may have hundreds of thousands."""
        frames = self._line_frames(table, _up(concept.address))
        columns = [k for k, name in enumerate(_METRICS) if name in table.metrics]
        rows = []
        for line, means in subjects.lines_of_concept(table, concept.concept):
            start, end = frames[id(line)]
            cells = [_mean_cell(means[k], signed=k == 0) for k in columns]
            rows.append("".join((start, *cells, end)))
        return Markup("\n".join(rows))

    def _line_frames(self, table: Table, up: str) -> dict[int, tuple[Markup, Markup]]:
        """Each row of a table before and after its means, which all concepts' pages share."""
        key = id(table), up
        if key not in self._frames:
            template = self._environment.get_template("board/line.html")
            macros: Any = template.make_module({"up": up, "addresses": addresses})
            self._frames[key] = {
                id(line): (macros.concept_row_start(line), macros.concept_row_end(line))
                for line in table.lines
            }
        return self._frames[key]

    def _render(self, template: str, **values: object) -> str:
        up = _up(str(values.get("address", template)))
        return self._environment.get_template(f"board/{template}.html").render(
            up=up,
            addresses=addresses,
            version=version("htbench"),
            board_style=html.read_files("board.css"),
            **values,
        )

    def _page(self, address: str, text: str) -> Iterator[tuple[str, str]]:
        up = _up(address)
        link = Markup('<li><a href="{}{}">{}</a></li>')
        links = Markup("").join(link.format(up, target, title) for title, target in _SECTIONS)
        switch = Markup('<nav class="switch" aria-label="Board"><ul>{}</ul></nav>').format(links)
        yield f"{address}.html", html.fill_marks(text, _POLICY, switch=switch)

    def _addresses(self) -> str:
        """The addresses of all pages, for programs."""
        record = {
            "boards": [
                {
                    "model": board.model,
                    "concept_set": board.concept_set,
                    "concept_set_version": board.version,
                    "address": board.address,
                }
                for board in self.boards
            ],
            "methods": [{"method": each.name, "address": each.address} for each in self.methods],
            "concepts": [
                {
                    "concept_set": each.concept_set,
                    "concept_set_version": each.version,
                    "concept": each.concept,
                    "address": each.address,
                }
                for each in self.concepts
            ],
        }
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"

    @cached_property
    def _tones(self) -> dict[str, int]:
        return {method.name: k + 1 for k, method in enumerate(self.methods)}

    @cached_property
    def _environment(self) -> Environment:
        return html.templates(self._tones)

    @cached_property
    def _frames(self) -> dict[tuple[int, str], dict[int, tuple[Markup, Markup]]]:
        return {}


def _up(address: str) -> str:
    """The way from a page to the folder of the board."""
    return "../" * address.count("/")


def _data(address: str, table: DataTable) -> Iterator[tuple[str, str]]:
    yield f"{address}.csv", table.csv
    yield f"{address}.json", table.json


def _scales(table: Table, lines: Iterable[Line]) -> dict[str, tuple[float, float]]:
    """The scale that the intervals of each column share, by metric."""
    scales = {}
    for metric in table.metrics:
        scores = [score for line in lines if (score := line.row.scores.get(metric))]
        ends = [end for each in scores for end in (each.mean, each.low, each.high)]
        finite = [end for end in ends if math.isfinite(end)]
        scales[metric] = min(finite, default=0.0), max(finite, default=1.0)
    return scales


def _mean_cell(mean: float | None, *, signed: bool) -> str:
    """The cell of a mean, as markup."""
    if mean is None:
        return '<td data-value="">—</td>'
    return f'<td data-value="{mean!r}">{format.score(mean, signed=signed)}</td>'
