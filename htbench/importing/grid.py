"""The cells of a run of imported pictures, from its register: those that could be read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from htbench.core import content
from htbench.core.types import UNSTEERED, Digest
from htbench.importing.register import Register

_PAIRS = """
CREATE TEMP TABLE IF NOT EXISTS pairs (prompt, seed, pixels, image, flaw,
    PRIMARY KEY (prompt, seed)) WITHOUT ROWID;
DELETE FROM pairs;
INSERT INTO pairs SELECT prompt, seed, pixels, image, flaw FROM (
    SELECT prompt, seed, pixels, image, flaw, min(place) FROM plain JOIN files ON path = file
    WHERE image IS NOT NULL GROUP BY prompt, seed);
"""
"""The first whole unsteered picture of each prompt and seed."""
_FIRST = """
CREATE TEMP TABLE IF NOT EXISTS first_{name} (value PRIMARY KEY, first) WITHOUT ROWID;
DELETE FROM first_{name};
INSERT INTO first_{name} SELECT {name}, min(place) FROM rows GROUP BY {name};
"""
"""The place where each method, concept and prompt is first named, by which cells are ordered."""
_WHOLE = """FROM rows JOIN files ON path = file
JOIN first_method AS m ON m.value = method
JOIN first_concept AS c ON c.value = concept
JOIN first_prompt AS p ON p.value = prompt
{join} pairs USING (prompt, seed)
WHERE files.image IS NOT NULL"""
_STEERED = f"""SELECT method, step, concept, prompt, seed, strength, seconds, files.pixels,
files.image, files.flaw, pairs.pixels, pairs.image, pairs.flaw {_WHOLE.format(join="LEFT JOIN")}
ORDER BY m.first, step, c.first, p.first, seed, strength"""
_UNSTEERED = f"""SELECT DISTINCT concept, prompt, seed, pairs.pixels, pairs.image, pairs.flaw,
c.first, p.first {_WHOLE.format(join="JOIN")} ORDER BY c.first, p.first, seed"""
MAX_NAMED = 100
"""The most pictures that are named one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GridCell:
    """A cell with its picture."""

    method: str
    concept: str
    prompt: str
    seed: int
    strength: float
    key: Digest
    """Digest of the cell, its concept, its pixels and those of its unsteered picture, so that a
    change of any of them makes it another cell."""
    file: str
    flaw: str | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The cells of a register, in the order of a run: unsteered ones, then method by method."""

    register: Register
    concepts: Mapping[str, Digest]
    """Digests of the concepts, by id."""

    def prepare(self) -> None:
        """Find the pairs and the order of the rows that there are now."""
        names = ("method", "concept", "prompt")
        self.register.prepare(_PAIRS + "".join(_FIRST.format(name=name) for name in names))

    def cells(self) -> Iterator[GridCell]:
        """All cells whose pictures could be read."""
        for concept, prompt, seed, pixels, image, flaw, *_ in self.register.iterate(_UNSTEERED):
            yield GridCell(
                method=UNSTEERED,
                concept=concept,
                prompt=prompt,
                seed=seed,
                strength=0.0,
                key=_unsteered_key(prompt, seed, pixels),
                file=image,
                flaw=flaw,
                seconds=None,
            )
        for row in self.register.iterate(_STEERED):
            method, step, concept, prompt, seed, strength, seconds, *pictures = row
            pixels, image, flaw, pair_pixels, pair_image, pair_flaw = pictures
            label = method if step < 0 else f"{method} step {step}"
            if not strength:
                key, image, flaw = _unsteered_key(prompt, seed, pair_pixels), pair_image, pair_flaw
            else:
                cell = [label, self.concepts[concept], prompt, seed, strength]
                key = content.digest(["steered", *cell, pixels, pair_pixels or ""])
            yield GridCell(
                method=label,
                concept=concept,
                prompt=prompt,
                seed=seed,
                strength=strength,
                key=key,
                file=image,
                flaw=flaw,
                seconds=seconds,
            )

    def digest(self) -> str:
        """Digest of all cells, with their files and times."""
        total = sha256()
        for cell in self.cells():
            total.update(repr((cell.method, cell.key, cell.file, cell.seconds)).encode())
        return total.hexdigest()[:16]

    @property
    def shape(self) -> dict[str, object]:
        """The settings of a plan that these cells would have."""
        strengths = self._column("SELECT DISTINCT strength {} ORDER BY 1")
        seeds = self._column("SELECT count(DISTINCT seed) {} GROUP BY prompt")
        return {
            "methods": [UNSTEERED, *self.methods],
            "strengths": sorted({float(str(each)) for each in strengths}) or [1.0],
            "prompts": max(1, len(self._column("SELECT DISTINCT prompt {}"))),
            "seeds": min(10_000, max((int(str(each)) for each in seeds), default=1)),
        }

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, in order."""
        query = f"""SELECT method, step {_WHOLE.format(join="LEFT JOIN")}
                    GROUP BY method, step ORDER BY min(m.first), step"""
        return [
            method if step < 0 else f"{method} step {step}"
            for method, step in self.register.select(query)
        ]

    @property
    def concept_ids(self) -> list[str]:
        """Ids of the concepts, in order."""
        ids = self._column("SELECT concept {} GROUP BY concept ORDER BY min(c.first)")
        return [str(each) for each in ids]

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of files by size, such as `512 x 512`, the commonest first."""
        query = """SELECT width, height, count(*) FROM files WHERE image IS NOT NULL
                   GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"""
        return {
            f"{width} x {height}": number for width, height, number in self.register.select(query)
        }

    @property
    def unpaired(self) -> int:
        """Number of steered cells without an unsteered picture."""
        (number,) = self._column("SELECT count(*) {} AND pairs.image IS NULL")
        return int(str(number))

    @property
    def paired(self) -> int:
        """Number of steered cells with an unsteered picture."""
        (number,) = self._column("SELECT count(*) {} AND pairs.image IS NOT NULL")
        return int(str(number))

    @property
    def converted(self) -> int:
        """Number of files that are kept as PNG of their pixels, not as they were."""
        query = "SELECT count(*) FROM files WHERE image IS NOT NULL AND NOT copied"
        ((number,),) = self.register.select(query)
        return int(number)

    def problems(self) -> Iterator[str]:
        """A line for each picture that is left out, with its row."""
        query = """SELECT location, problem FROM (
                     SELECT location, problem, 0 AS part, place FROM rows JOIN files ON path = file
                     WHERE image IS NULL AND strength != 0
                     UNION ALL
                     SELECT location, problem, 1, place FROM plain JOIN files ON path = file
                     WHERE image IS NULL) ORDER BY part, place"""
        for location, problem in self.register.iterate(query):
            yield f"{location}: {problem}"
        query = """SELECT location, prompt, seed FROM plain JOIN files ON path = file
                   JOIN pairs USING (prompt, seed)
                   WHERE files.image IS NOT NULL AND files.pixels != pairs.pixels ORDER BY place"""
        for location, prompt, seed in self.register.iterate(query):
            yield (
                f"{location}: prompt {prompt[:80]!r} with seed {seed} has another unsteered "
                "picture already; the first one counts"
            )

    def _column(self, query: str) -> list[object]:
        rows = self.register.select(query.format(_WHOLE.format(join="LEFT JOIN")))
        return [value for (value,) in rows]


def _unsteered_key(prompt: str, seed: int, pixels: str) -> Digest:
    return content.digest(["unsteered", prompt, seed, pixels])
