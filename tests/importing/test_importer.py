"""Pictures of other programs as a run: whole, once, and completed after a kill."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import foreign_pictures
from PIL import Image

from htbench.core.errors import UsageError
from htbench.importing import tables
from htbench.importing.importer import Imported, ImportSettings, import_rows
from htbench.importing.rows import RowReader
from htbench.run import check
from htbench.run.fact_table import Facts
from htbench.run.store import Store

Cell = tuple[object, ...]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "foreign"


def bring(table: Path, run: Path, **settings: object) -> Imported:
    """Import a table of pictures that lie beside it."""
    reader = RowReader(root=table.parent, fixed={})
    chosen = ImportSettings(root=table.parent, source=str(table), **settings)  # type: ignore[arg-type]
    return import_rows(tables.read(table, reader), run, chosen)


def make(folder: Path, *, unsteered: bool = True, spoiled: bool = False) -> Path:
    """A folder of pictures with its table."""
    rows = foreign_pictures.make(folder, unsteered=unsteered)
    if spoiled:
        foreign_pictures.spoil(folder, rows)
    return foreign_pictures.write_table(folder / "pictures.csv", rows)


def cells(run: Path) -> list[Cell]:
    """The cells with their files, without numbers of rows."""
    with Store.read(run) as store:
        return [
            (
                each.method,
                each.concept,
                each.prompt,
                each.seed,
                each.strength,
                each.image,
                each.file,
            )
            for each in store.rows()
        ]


def facts(run: Path) -> Facts:
    with Store.read(run) as store:
        return Facts.read(store)


def files(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "images").glob("[!.]*")}


def test_every_picture_becomes_a_cell_and_every_pair_an_unsteered_one(
    pictures: Path, run: Path
) -> None:
    imported = bring(make(pictures), run)
    assert (imported.left_out, imported.sizes) == (0, {"32 x 32": 60})
    methods = [method for method, *_ in cells(run)]
    assert {name: methods.count(name) for name in methods} == {
        "none": 18,
        "prompt edit": 18,
        "lora": 18,
        "controlnet": 18,
    }


def test_pictures_are_kept_upright_as_rgb_on_white(pictures: Path, run: Path) -> None:
    shown = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    shown.putpixel((0, 0), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[274] = 6
    pictures.mkdir()
    shown.save(pictures / "a.png", exif=exif)
    row = {"file": "a.png", "method": "mine", "concept": "red", "prompt": "cat"}
    bring(foreign_pictures.write_table(pictures / "t.csv", [row]), run)
    (data,) = files(run).values()
    kept = Image.open(io.BytesIO(data))
    assert (kept.mode, kept.size, dict(kept.getexif())) == ("RGB", (2, 4), {})
    assert (kept.getpixel((1, 0)), kept.getpixel((0, 0))) == ((255, 255, 255), (255, 0, 0))


def test_broken_and_missing_pictures_are_named_and_left_out(pictures: Path, run: Path) -> None:
    imported = bring(make(pictures, spoiled=True), run)
    assert imported.left_out == len(imported.problems) == 3
    named = " ".join(imported.problems)
    for part in ("row 4: 'prompt edit/in blue tones panda 2.jpg'", "row 22: 'lora/", "row 42"):
        assert part in named
    assert len(cells(run)) == 51 + 18
    assert facts(run).imported.problems == imported.problems


def test_importing_twice_changes_nothing(pictures: Path, run: Path) -> None:
    table = make(pictures, spoiled=True)
    bring(table, run)
    before = cells(run), facts(run), files(run), (run / "run.sqlite").read_bytes()
    assert bring(table, run).added == 0
    assert (cells(run), facts(run), files(run), (run / "run.sqlite").read_bytes()) == before


def test_a_row_added_later_adds_one(pictures: Path, run: Path) -> None:
    rows = foreign_pictures.make(pictures)
    bring(foreign_pictures.write_table(pictures / "t.csv", rows[:5]), run)
    before = cells(run)
    added = bring(foreign_pictures.write_table(pictures / "t.csv", rows[:6]), run)
    assert (added.added, added.cells) == (1, 6)
    assert set(before) < set(cells(run))


def test_a_picture_that_has_changed_takes_the_place_of_the_old_one(
    pictures: Path, run: Path
) -> None:
    table = make(pictures)
    bring(table, run)
    before = cells(run)
    (path,) = pictures.glob("lora/in a storm panda 0.*")
    Image.new("RGB", (32, 32), "red").save(path)
    os.utime(path, (1, 1))
    assert bring(table, run).added == 1
    assert len(set(before) - set(cells(run))) == 1


def test_a_counterpart_that_comes_later_makes_its_cells_anew(pictures: Path, run: Path) -> None:
    rows = foreign_pictures.make(pictures)
    bring(foreign_pictures.write_table(pictures / "t.csv", rows[:1]), run)
    assert facts(run).imported.unpaired == 1
    bring(foreign_pictures.write_table(pictures / "t.csv", [rows[0], *rows[-6:]]), run)
    assert facts(run).imported.unpaired == 0
    assert [method for method, *_ in cells(run)] == ["none", "prompt edit"]


def test_a_picture_that_was_deleted_after_the_import_is_kept(pictures: Path, run: Path) -> None:
    table = make(pictures)
    bring(table, run)
    for path in pictures.glob("lora/*"):
        path.unlink()
    again = bring(table, run)
    assert (again.left_out, again.added, again.cells) == (0, 0, 72)


def test_a_picture_that_the_run_lost_is_read_again(pictures: Path, run: Path) -> None:
    table = make(pictures)
    bring(table, run)
    before = files(run)
    (run / "images" / min(before)).unlink()
    bring(table, run)
    assert files(run) == before
    assert check.check(run).findings == ()


def test_a_link_takes_no_room(pictures: Path, run: Path) -> None:
    pictures.mkdir()
    Image.new("RGB", (8, 8), "red").save(pictures / "a.png")
    row = {"file": "a.png", "method": "mine", "concept": "red", "prompt": "cat"}
    bring(foreign_pictures.write_table(pictures / "t.csv", [row]), run, link=True)
    (image,) = (run / "images").iterdir()
    assert image.samefile(pictures / "a.png")
    assert check.check(run).findings == ()


def test_two_files_for_one_picture_are_refused_and_nothing_is_written(
    pictures: Path, run: Path
) -> None:
    rows = foreign_pictures.make(pictures)[:2]
    table = foreign_pictures.write_table(pictures / "t.csv", [rows[0], {**rows[1], "seed": "0"}])
    with pytest.raises(UsageError, match=r"row 3: prompt edit has .* already: t.csv row 2"):
        bring(table, run)
    assert not run.exists()


def test_two_unsteered_pictures_that_differ_are_named(pictures: Path, run: Path) -> None:
    rows = foreign_pictures.make(pictures)
    other = {**rows[-1], "seed": "0"}
    imported = bring(foreign_pictures.write_table(pictures / "t.csv", [*rows, other]), run)
    assert [line for line in imported.problems if "another unsteered picture" in line]


def test_concepts_of_a_set_are_found_by_id_by_words_and_by_file_name(
    pictures: Path, run: Path
) -> None:
    rows = foreign_pictures.make(pictures)[:3]
    names = ("companion/blueberries", "with blueberries", "companion-blueberries")
    named = [{**row, "concept": name} for row, name in zip(rows, names, strict=True)]
    bring(foreign_pictures.write_table(pictures / "t.csv", named), run, concept_set="emoji")
    assert list(facts(run).concepts) == ["companion/blueberries"]


def test_a_concept_that_the_set_does_not_have_is_one_line(pictures: Path, run: Path) -> None:
    rows = [{**row, "concept": "with blueberies"} for row in foreign_pictures.make(pictures)[:1]]
    table = foreign_pictures.write_table(pictures / "t.csv", rows)
    with pytest.raises(UsageError, match=r"t.csv row 2: .* did you mean 'with blueberries'"):
        bring(table, run, concept_set="emoji")
    assert not run.exists()


def test_a_run_of_htbench_is_left_alone(pictures: Path, run: Path) -> None:
    with Store.open(run) as store:
        store.set_facts(model={"name": "emoji"})
    with pytest.raises(UsageError, match="has pictures of its own"):
        bring(make(pictures), run)


def test_an_import_that_was_killed_is_completed_by_the_next(
    pictures: Path, run: Path, tmp_path: Path
) -> None:
    table = make(pictures)
    whole = tmp_path / "runs" / "whole"
    bring(table, whole)
    words = ["import", str(table), "--runs-dir", str(run.parent), "--name", run.name]
    process = subprocess.Popen([sys.executable, "-m", "htbench", *words])
    while process.poll() is None and not len(list((run / "images").glob("*.png"))) > 5:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bring(table, run)
    assert cells(run) == cells(whole)
    assert files(run) == files(whole)
