import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import report_run
from PIL import Image

from htbench import report
from htbench.report import output
from htbench.report.gallery import grid, pictures
from htbench.report.gallery.grid import GalleryData
from htbench.run.store import Store
from htbench.run.summary import METRICS, Summary

SMALL: dict[str, Any] = {
    "methods": ("none", "linear-act", "hypertransport"),
    "concepts": 2,
    "prompts": report_run.PROMPTS[:2],
    "strengths": (0.0, 1.0),
    "size": 8,
}


def built(folder: Path, **changes: Any) -> Path:
    return report_run.build(folder, **{**SMALL, **changes})


def collected(folder: Path) -> GalleryData:
    with Store.read(folder) as store:
        return grid.collect(Summary(store))


def shards(page: Path) -> list[dict[str, Any]]:
    """The cells that a page in one file holds, prompt by prompt."""
    return [
        json.loads(text)
        for text in re.findall(
            r'<script type="application/json" id="shard-\d+">(.*?)</script>',
            page.read_text(),
            re.DOTALL,
        )
    ]


def numbers(text: str, kind: str, *shape: int) -> np.ndarray:
    return np.frombuffer(b64decode(text), kind).reshape(shape)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def beyond_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_BYTES", 1)


def test_every_cell_leads_to_its_picture(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    found = collected(folder)
    with Store.read(folder) as store:
        rows = store.rows()
    for row in rows:
        prompt = next(k for k, prompt in enumerate(found.prompts) if prompt.text == row.prompt)
        concept = next(k for k, concept in enumerate(found.concepts) if concept.id == row.concept)
        column = found.columns.index((found.methods.index(row.method), row.strength))
        cells = numbers(found.shards[prompt].cells, "<i4", 2, len(found.columns))
        assert found.shards[prompt].images[cells[concept, column]] == row.file


def test_packed_scores_are_within_a_step_of_those_of_the_store(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    found = collected(folder)
    packed = numbers(found.shards[1].scores, "<u2", 2, len(found.columns), len(METRICS))
    with Store.read(folder) as store:
        summary = Summary(store)
        rows = [row for row in store.rows() if row.prompt == found.prompts[1].text]
        for row in rows:
            concept = next(
                k for k, concept in enumerate(found.concepts) if concept.id == row.concept
            )
            steps = packed[
                concept, found.columns.index((found.methods.index(row.method), row.strength))
            ]
            shown = [low + steps[k] * step for k, (low, step) in enumerate(found.scales)]
            assert shown == pytest.approx(
                [summary.scores[row.id][metric] for metric in METRICS], abs=2e-5
            )


def test_means_are_over_prompts(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    found = collected(folder)
    packed = numbers(found.means, "<u2", 2, len(found.columns), len(METRICS))
    low, step = found.scales[0]
    with Store.read(folder) as store:
        wanted = Summary(store).values("linear-act", 1.0, "concept_gain")
    column = found.columns.index((found.methods.index("linear-act"), 1.0))
    shown = {
        concept.id: low + packed[k, column, 0] * step for k, concept in enumerate(found.concepts)
    }
    assert shown == pytest.approx(
        {concept: values[0] for concept, values in wanted.items()}, abs=2e-5
    )


def test_a_cell_without_scores_has_none(tmp_path: Path) -> None:
    found = collected(built(tmp_path / "run", scored=False))
    assert set(numbers(found.shards[0].scores, "<u2", -1)) == {grid.NO_SCORE}


def test_a_missing_picture_says_why(tmp_path: Path) -> None:
    found = collected(built(tmp_path / "run", made=2, problem="the image is one flat colour"))
    cells = numbers(found.shards[0].cells, "<i4", 2, len(found.columns))
    assert {found.shards[0].problems[-1 - number] for number in cells[cells < 0]} == {
        "the image is one flat colour",
        "not made yet",
    }


def test_tuned_strengths_share_one_stop_of_the_slider(tmp_path: Path) -> None:
    folder = built(tmp_path / "run", strengths=(0.0, 0.7, 1.0))
    with Store.open(folder) as store:
        plan = store.facts()["plan"]
        store.set_facts(
            plan={**plan, "strengths": [0.0, 1.0]},
            tuned={"linear-act": {"strength": 0.7}, "hypertransport": {"strength": 1.0}},
        )
    found = collected(folder)
    assert [step.label for step in found.steps] == ["0", "1", "tuned"]
    assert [found.columns[column] for column in found.steps[2].columns] == [(1, 0.7), (2, 1.0)]
    assert found.steps[found.full].label == "1"


def test_each_picture_is_held_once(tmp_path: Path) -> None:
    found = shards(report.write(built(tmp_path / "run")))
    held = [picture for shard in found for picture in shard["images"]]
    assert len(held) == len(set(held)) == 10


def test_one_file_holds_pictures_as_they_are_where_there_is_room(tmp_path: Path) -> None:
    folder = built(tmp_path / "run", size=300)
    held = {
        b64decode(picture.partition(",")[2])
        for shard in shards(report.write(folder))
        for picture in shard["images"]
    }
    assert held == {path.read_bytes() for path in (folder / "images").iterdir()}


def test_one_file_holds_smaller_pictures_where_there_is_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built(tmp_path / "run", size=300)
    monkeypatch.setattr(output, "MAX_BYTES", report.write(folder).stat().st_size - 100_000)
    page = report.write(folder)
    sizes = {
        Image.open(BytesIO(b64decode(picture.partition(",")[2]))).size
        for shard in shards(page)
        for picture in shard["images"]
    }
    assert sizes == {(pictures.MAX_SIDE, pictures.MAX_SIDE)}
    assert "Pictures on this page are compressed" in page.read_text()


def test_what_one_file_cannot_hold_becomes_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built(tmp_path / "run")
    single = report.write(folder)
    beyond_one_file(monkeypatch)
    assert report.write(folder) == folder / "report" / "index.html"
    assert not single.exists()


def test_one_file_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    report.write_folder(folder)
    assert report.write(folder) == folder / "report.html"
    assert not (folder / "report").exists()


def test_a_folder_has_a_script_a_prompt_and_every_picture(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    found = files(report.write_folder(folder).parent)
    assert {name for name in found if not name.startswith("pictures/")} == {
        "index.html",
        "data/0.js",
        "data/1.js",
    }
    assert {
        name.removeprefix("pictures/"): data
        for name, data in found.items()
        if name.startswith("pictures/")
    } == files(folder / "images")


def test_a_folder_holds_large_pictures_scaled_down_and_leads_to_the_whole_ones(
    tmp_path: Path,
) -> None:
    page = report.write_folder(built(tmp_path / "run", size=300))
    assert {Image.open(path).size for path in (page.parent / "pictures").iterdir()} == {
        (pictures.MAX_SIDE, pictures.MAX_SIDE)
    }
    assert '"originals": "../images/"' in page.read_text()


def test_the_same_store_gives_the_same_folder(tmp_path: Path) -> None:
    folder = built(tmp_path / "run", size=300)
    first = files(report.write_folder(folder).parent)
    report.write(folder)  # takes the folder away
    assert files(report.write_folder(folder).parent) == first


def test_pictures_of_an_earlier_report_go_when_the_run_has_others(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    there = report.write_folder(folder).parent
    (there / "pictures" / "old.png").write_bytes(b"old")
    report.write_folder(folder)
    assert not (there / "pictures" / "old.png").exists()


def test_a_folder_may_load_from_beside_itself_alone(tmp_path: Path) -> None:
    page = report.write_folder(built(tmp_path / "run")).read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert re.sub(r"'sha256-[^']*'", "HASH", policy[1]) == (
        "default-src 'none'; img-src 'self'; style-src HASH; script-src HASH 'self'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_damaged_picture_is_a_gap_with_its_reason(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    next((folder / "images").glob("*.png")).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert any(
        "cannot be read" in reason
        for shard in shards(report.write(folder))
        for reason in shard["broken"].values()
    )


def test_a_lost_picture_does_not_stop_the_report(tmp_path: Path) -> None:
    folder = built(tmp_path / "run")
    next((folder / "images").glob("*.png")).unlink()
    assert report.write(folder).is_file()
    assert report.write_folder(folder).is_file()
