"""Pictures of another program, on their way to a judged report: imported, again, one more, judged.

Sixty pictures in PNG, JPEG and WebP: with transparency, grey, in CMYK, turned by EXIF, in folders
and files whose names have spaces and accents; one is cut short and two are missing. No encoder and
no network: the judge is a server on this machine.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kit import foreign_pictures
from kit.foreign_pictures import CONCEPTS
from kit.in_process import Ended, issue
from kit.judge_servers import Ask, Endpoint, serving
from PIL import Image

from htbench.run.store import Store

TABLE = "été 2026/my pictures.csv"
RUN = Path("runs") / "my-pictures"
IMPORT = ("import", TABLE, "--name", RUN.name)


@dataclass(frozen=True)
class Walk:
    """The ends of the commands, and what the run held after each import."""

    bad: list[str]
    """Files that are cut short or missing."""
    imported: tuple[Ended, Ended, Ended]
    """The first import, the same again, and one of a table with one row more."""
    held: tuple[set[str], set[str], set[str]]
    """Every cell and every file of an image, as text."""
    judged: Ended
    reported: Ended
    page: str


def eye(ask: Ask) -> str:
    """A judge by the colour that the words stand for: the mean colour that is nearer to it."""
    (concept,) = [words for words in CONCEPTS if words in ask.text]
    colour = np.array(CONCEPTS[concept], float)
    first, second = (np.abs(each.mean((0, 1)) - colour).mean() for each in ask.pictures)
    return "tie" if abs(first - second) < 0.5 else "A" if first < second else "B"


def held() -> set[str]:
    with Store.read(RUN) as store:
        cells = [f"{row.method}, {row.concept}, {row.image}, {row.file}" for row in store.rows()]
    images = (RUN / "images").glob("[!.]*")
    digests = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in images]
    return {*cells, *digests}


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with pytest.MonkeyPatch.context() as patch, serving(Endpoint(mind=eye)) as endpoint:
        patch.chdir(tmp_path_factory.mktemp("walk"))
        patch.setenv("JUDGE_BASE_URL", endpoint.url)
        folder = Path(TABLE).parent
        rows = foreign_pictures.make(folder)
        bad = foreign_pictures.spoil(folder, rows)
        foreign_pictures.write_table(Path(TABLE), rows)
        first, once = issue(*IMPORT), held()
        again, twice = issue(*IMPORT), held()
        late = foreign_pictures.picture("lora", "in a storm", "panda", 7)
        late.save(folder / "lora" / "später.webp")
        row = {**rows[20], "file": "lora/später.webp", "concept": "in a storm", "seed": "7"}
        foreign_pictures.write_table(Path(TABLE), [*rows, row])
        more, thrice = issue(*IMPORT), held()
        judge = ("judge", RUN.name, "--judge", "local", "--model", "scripted")
        judged = issue(*judge, "--criterion", "presence", "--pairs", "40", "--no-calibrate")
        reported = issue("report", RUN.name)
        yield Walk(
            bad=bad,
            imported=(first, again, more),
            held=(once, twice, thrice),
            judged=judged,
            reported=reported,
            page=(RUN / "report.html").read_text(encoding="utf-8"),
        )


def test_the_pictures_are_of_every_kind(walk: Walk) -> None:
    folder = Path(TABLE).parent
    cut, *_ = walk.bad
    files = [path for path in folder.rglob("*.*") if path not in (Path(TABLE), folder / cut)]
    kinds = set()
    for path in files:
        with Image.open(path) as picture:
            kinds |= {picture.format, picture.mode, f"turned {picture.getexif().get(274)}"}
    assert {"PNG", "JPEG", "WEBP", "RGB", "RGBA", "L", "CMYK", "turned 6"} <= kinds
    assert any(" " in path.name and not path.name.isascii() for path in files)


def test_the_bad_pictures_are_named_and_the_others_imported(walk: Walk) -> None:
    first = walk.imported[0]
    assert first.code == 3
    assert "pictures that could not be used: 3" in first.shown
    shown = " ".join(first.shown.split())
    assert [name for name in walk.bad if name not in shown] == []


def test_importing_twice_changes_nothing(walk: Walk) -> None:
    assert walk.held[1] == walk.held[0]
    assert "0 cells added" in walk.imported[1].shown


def test_a_row_that_comes_later_adds_one_picture(walk: Walk) -> None:
    assert walk.held[0] < walk.held[2]
    added = walk.held[2] - walk.held[0]
    assert len([each for each in added if each.startswith("lora, ")]) == 1
    assert len(added) == 2  # the cell, and the file of its image
    assert re.search(r"\b1 cells? added", walk.imported[2].shown)


def test_a_judge_ranks_the_methods_by_what_is_in_their_pictures(walk: Walk) -> None:
    assert walk.judged.code == 0, walk.judged.shown
    table = walk.judged.shown
    places = [table.index(method) for method in ("controlnet", "lora", "prompt edit")]
    assert places == sorted(places)


def test_the_report_names_the_bad_pictures_and_shows_the_judge(walk: Walk) -> None:
    assert walk.reported.code == 3, walk.reported.shown  # no encoder has scored yet
    assert [name for name in walk.bad if name not in walk.page] == []
    for method in ("prompt edit", "lora", "controlnet"):
        assert method in walk.page
    assert "scripted" in walk.page
