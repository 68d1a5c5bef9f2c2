"""An exclusion funnel: what is left after each stage, as bars that shrink."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from htbench.report.charts.svg import WIDTH, Row, Rows, drawing, shortened, text

_ROW, _TOP = 24.0, 4.0
_LEFT, _RIGHT = 210.0, 152.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """People and answers that are left after one stage, and those that it excluded."""

    name: str
    people: int
    answers: int
    people_lost: int = 0
    answers_lost: int = 0

    @property
    def figures(self) -> str:
        """The numbers in words: the losses of a stage that has any, else what is left."""
        if not (self.people_lost or self.answers_lost):
            return f"{_count(self.people, 'person', 'people')}, {self.answers:,} answers"
        people = f"−{_count(self.people_lost, 'person', 'people')}, " if self.people_lost else ""
        return f"{people}−{_count(self.answers_lost, 'answer', 'answers')}"


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """Stages from those who came to what was kept; the length of a bar is its answers."""

    title: str
    stages: Sequence[Stage]

    @property
    def rows(self) -> Rows:
        """A row per stage."""
        rows: list[Row] = [
            ["stage", "people left", "answers left", "people excluded", "answers excluded"]
        ]
        rows += [
            [stage.name, stage.people, stage.answers, stage.people_lost, stage.answers_lost]
            for stage in self.stages
        ]
        return rows

    def __html__(self) -> str:
        return drawing(self, self._parts(), height=_TOP * 2 + _ROW * len(self.stages))

    def _parts(self) -> Iterator[Markup]:
        most = max(1, *(stage.answers for stage in self.stages))
        scale = (WIDTH - _LEFT - _RIGHT) / most
        for k, stage in enumerate(self.stages):
            top = _TOP + _ROW * k
            words = shortened(stage.name, _LEFT - 10)
            yield text("name end", _LEFT - 8, top + 16, words, name=stage.name)
            yield _bar("kept", _LEFT, top, stage.answers * scale)
            yield _bar("lost", _LEFT + stage.answers * scale, top, stage.answers_lost * scale)
            yield text("figure end", WIDTH - 2, top + 16, stage.figures)


def _bar(kind: str, left: float, top: float, width: float) -> Markup:
    if not width:
        return Markup("")
    return Markup(
        '<rect class="funnel-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    ).format(kind, left, top + 4, width, _ROW - 8)
