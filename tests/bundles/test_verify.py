"""Verification: an honest bundle holds, and a changed one is refused by the name of the change."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kit import edited_bundle, report_run
from kit.commands import htbench
from PIL import Image

from htbench.bundles.findings import Finding
from htbench.bundles.pack import pack
from htbench.bundles.records import Part
from htbench.bundles.remake import RemakeOptions, draw
from htbench.bundles.unpack import unpacked
from htbench.bundles.verify import VerifyOptions, verify
from htbench.core.errors import Refused
from htbench.run import runner
from htbench.run.fact_table import Facts
from htbench.run.plan import RunOptions, build
from htbench.run.store import Store
from htbench.steering import concept

PLAN = {
    "methods": ["prompt", "mean-shift", "hypertransport"],
    "limit": 2,
    "prompts": 1,
    "strengths": [0.0, 1.0],
    "batch": 4,
}
ALL = 100


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    runner.run(
        build(PLAN),
        folder / "run",
        RunOptions(threads=1),
    )
    return pack(folder / "run", folder / "mine.zip").path


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "mine.zip"))


def findings(bundle: Path, *, again: int = 0, **options: Any) -> list[Finding]:
    return list(verify(bundle, VerifyOptions(again=RemakeOptions(number=again), **options)))


def kinds(found: list[Finding], kind: str) -> list[str]:
    return [finding.what for finding in found if finding.kind == kind]


def differences(bundle: Path, **options: Any) -> str:
    return "\n".join(kinds(findings(bundle, **options), "differs"))


def forged(bundle: Path, changes: Mapping[str, bytes | None]) -> Path:
    """A bundle of which the manifest and the table follow the changes."""
    return edited_bundle.forge(bundle, changes)


def picture_changes(bundle: Path, row: int, png: bytes) -> dict[str, bytes | None]:
    """Another picture in place of that of a row, under the name of its own bytes."""
    rows = edited_bundle.rows(bundle, "images")
    old, new = rows[row]["file"], f"{hashlib.sha256(png).hexdigest()[:32]}.png"

    def change(image: dict[str, object]) -> None:
        if image["file"] == old:
            image["file"] = new

    tables = edited_bundle.table(bundle, "images", change)
    return {f"images/{old}": None, f"images/{new}": png, **tables}


def steered_row(bundle: Path) -> int:
    """Number of the row of an image by mean-shift at strength 1."""
    cells = edited_bundle.rows(bundle, "cells")
    key = next(
        each["image"] for each in cells if each["method"] == "mean-shift" and each["strength"]
    )
    return [each["key"] for each in edited_bundle.rows(bundle, "images")].index(key)


def pixel_changed(bundle: Path, row: int) -> bytes:
    """The picture of a row with one pixel that is one level off."""
    name = edited_bundle.rows(bundle, "images")[row]["file"]
    picture = Image.open(BytesIO(edited_bundle.read(bundle)[f"images/{name}"])).convert("RGB")
    red, *rest = picture.getpixel((0, 0))
    picture.putpixel((0, 0), (red + 1 if red < 255 else 254, *rest))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_an_honest_bundle_holds_and_says_what_cannot_be_checked(bundle: Path) -> None:
    found = findings(bundle, again=ALL)
    assert kinds(found, "differs") == []
    text = "\n".join(kinds(found, "holds"))
    assert "pictures made again have the same bytes" in text
    assert "follow from the pictures" in text
    assert "leaderboard.csv follows" in text
    unchecked = "\n".join(kinds(found, "unchecked"))
    assert "times, commands and environments" in unchecked
    assert "interventions of mean-shift are those of the bundle" in unchecked


def test_a_bundle_of_another_number_of_threads_holds(tmp_path: Path) -> None:
    runner.run(
        build(PLAN, {"limit": 1, "methods": ["prompt"]}), tmp_path / "run", RunOptions(threads=2)
    )
    found = findings(pack(tmp_path / "run", tmp_path / "mine.zip").path, again=ALL)
    assert kinds(found, "differs") == []
    assert "made again" in "\n".join(kinds(found, "holds"))


def test_a_bundle_of_another_kind_of_machine_holds(bundle: Path) -> None:
    def elsewhere(row: dict[str, object]) -> None:
        row["environment"] = json.dumps({"device": "NVIDIA H200", "threads": 96})

    row = steered_row(bundle)
    changes = picture_changes(bundle, row, pixel_changed(bundle, row))
    edited_bundle.forge(bundle, changes)
    edited_bundle.forge(bundle, edited_bundle.table(bundle, "sessions", elsewhere))
    found = findings(bundle, again=ALL)
    assert kinds(found, "differs") == []
    text = "\n".join(kinds(found, "holds"))
    # the changed one at least: another number of threads may round others differently
    assert re.search("[1-7] of 7 pictures made again on another kind of machine have nearly", text)
    assert "scores of these pictures are within" in text


@pytest.mark.parametrize(
    ("table", "column", "value", "title"),
    [
        ("scores", "value", 0.25, "scores"),
        ("timings", "seconds", 1e-9, "times"),
        ("sessions", "command", "htbench run other", "commands and environments"),
        ("sessions", "environment", "{}", "commands and environments"),
    ],
)
def test_a_change_that_the_manifest_does_not_follow_is_named_by_its_file(
    bundle: Path, table: str, column: str, value: object, title: str
) -> None:
    changes = edited_bundle.table(bundle, table, lambda row: row.update({column: value}))
    edited_bundle.edit(bundle, changes)
    assert differences(bundle) == (
        f"run/tables/{table}.jsonl ({title}) is not what was packed: it has another digest"
    )


def test_a_picture_that_the_manifest_does_not_follow_is_named(bundle: Path) -> None:
    one, two = [name for name in edited_bundle.read(bundle) if name.startswith("images/")][:2]
    edited_bundle.edit(bundle, {one: edited_bundle.read(bundle)[two]})
    assert differences(bundle) == f"{one} is not what was packed: it has another digest"


def test_scores_by_another_encoder_are_said_to_be_unchecked(bundle: Path) -> None:
    def rename(row: dict[str, object]) -> None:
        row["encoder"] = str(row["encoder"]).replace("@", "@other")

    def rename_fact(scorers: Any) -> None:
        for each in scorers if isinstance(scorers, list) else [scorers]:
            each["id"] = each["id"].replace("@", "@other")

    forged(bundle, edited_bundle.table(bundle, "scores", rename))
    for name in ("scorer", "scorers", "gauges"):
        forged(bundle, edited_bundle.fact(bundle, name, rename_fact))
    found = "\n".join(kinds(findings(bundle), "unchecked"))
    assert "scores by emoji-clip-b@other" in found
    assert "here is emoji-clip-b@" in found


def test_a_forged_score_does_not_follow_from_its_picture(bundle: Path) -> None:
    def better(row: dict[str, object]) -> None:
        if row["cell"] == 5 and row["metric"] == "concept_gain":
            row["value"] = float(str(row["value"])) + 0.01

    text = differences(forged(bundle, edited_bundle.table(bundle, "scores", better)))
    assert "concept_gain by emoji-clip-b@" in text
    assert "by its picture" in text
    assert "leaderboard.csv: concept_gain of " in text


def test_a_deleted_score_is_missing(bundle: Path) -> None:
    (entry,) = edited_bundle.table(bundle, "scores", lambda row: None)
    lines = edited_bundle.read(bundle)[entry].splitlines(keepends=True)
    assert "is missing in the bundle" in differences(
        forged(bundle, {entry: b"".join([*lines[:3], *lines[4:]])})
    )


def test_a_forged_picture_is_another_one_when_it_is_made_again(bundle: Path) -> None:
    row = steered_row(bundle)
    forged(bundle, picture_changes(bundle, row, pixel_changed(bundle, row)))
    text = differences(bundle, again=ALL)
    assert "image of mean-shift, " in text
    assert "has other bytes when it is made again on the same kind of machine" in text


def test_a_much_changed_picture_of_another_kind_of_machine_is_found(bundle: Path) -> None:
    buffer = BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "PNG")
    changes = picture_changes(bundle, steered_row(bundle), buffer.getvalue())
    forged(bundle, changes)
    forged(
        bundle, edited_bundle.table(bundle, "sessions", lambda row: row.update(environment="{}"))
    )
    assert "is another picture when it is made again" in differences(bundle, again=ALL)


def test_two_pictures_that_changed_places_are_found(bundle: Path) -> None:
    files = [str(row["file"]) for row in edited_bundle.rows(bundle, "images")]
    places = dict(zip(files, [*files[1:], files[0]], strict=True))
    changes = edited_bundle.table(
        bundle, "images", lambda row: row.update(file=places[str(row["file"])])
    )
    assert "by its picture" in differences(forged(bundle, changes))


def test_a_forged_text_of_a_concept_is_not_that_of_the_set(bundle: Path) -> None:
    def reword(concepts: dict[str, Any]) -> None:
        next(iter(concepts.values()))["text"] = "with gold"

    text = differences(forged(bundle, edited_bundle.fact(bundle, "concepts", reword)))
    assert "the text of concept " in text
    assert "'with gold' in the bundle" in text


def test_a_forged_setting_of_a_method_is_not_that_of_its_card(bundle: Path) -> None:
    def change(methods: dict[str, Any]) -> None:
        methods["mean-shift"]["settings"] = {"samples": 1}

    text = differences(forged(bundle, edited_bundle.fact(bundle, "methods", change)))
    assert "'settings' of method 'mean-shift'" in text


def test_a_run_of_another_version_of_htbench_may_word_methods_in_another_way(bundle: Path) -> None:
    def change(methods: dict[str, Any]) -> None:
        methods["mean-shift"]["summary"] = "other words"

    assert "'summary' of method" in differences(
        forged(bundle, edited_bundle.fact(bundle, "methods", change))
    )
    older = json.dumps({"htbench": "0.0.9"})
    forged(bundle, edited_bundle.table(bundle, "sessions", lambda r: r.update(environment=older)))
    assert differences(bundle) == ""


def test_a_leak_that_is_not_told_is_found(bundle: Path) -> None:
    def change(methods: dict[str, Any]) -> None:
        methods["hypertransport"]["training"]["concepts"].append("companion/eggplant")

    text = differences(forged(bundle, edited_bundle.fact(bundle, "methods", change)))
    assert "'hypertransport' was trained on 'companion/eggplant', and the bundle does not" in text


def test_a_forged_training_is_not_that_of_the_shipped_file(bundle: Path) -> None:
    def change(methods: dict[str, Any]) -> None:
        methods["hypertransport"]["training"]["seconds"] = 1.0

    text = differences(forged(bundle, edited_bundle.fact(bundle, "methods", change)), again=ALL)
    assert "seconds of the training of hypertransport are '1.0' in the bundle" in text


def test_strengths_follow_from_the_run_on_dev_concepts(tmp_path: Path) -> None:
    changes = {"limit": 1, "methods": ["prompt"], "tune_strength": True, "tune_concepts": 1}
    runner.run(build(PLAN, changes), tmp_path / "run", RunOptions(threads=1))
    bundle = pack(tmp_path / "run", tmp_path / "mine.zip").path
    found = findings(bundle)
    assert kinds(found, "differs") == []
    assert "the strengths of 1 methods follow" in "\n".join(kinds(found, "holds"))
    forged(bundle, edited_bundle.fact(bundle, "tuned", lambda t: t["prompt"].update(strength=0.5)))
    assert "strength of the tuning of prompt is 0.5 in the bundle" in differences(bundle)


def test_strength_scales_follow_from_the_run_on_dev_concepts(tmp_path: Path) -> None:
    changes = {
        "limit": 1,
        "methods": ["mean-shift"],
        "strengths": [0.0, 0.5, 1.0],
        "strength_scale": "perceptual",
        "tune_concepts": 1,
    }
    runner.run(build(PLAN, changes), tmp_path / "run", RunOptions(threads=1))
    bundle = pack(tmp_path / "run", tmp_path / "mine.zip").path
    found = findings(bundle)
    assert kinds(found, "differs") == []
    assert "the strength scales of 1 methods follow" in "\n".join(kinds(found, "holds"))

    def change(scales: dict[str, Any]) -> None:
        scales["mean-shift"]["points"][-1] = 9.0

    forged(bundle, edited_bundle.fact(bundle, "strength_scales", change))
    assert "points of the strength scale of mean-shift is" in differences(bundle)


def test_a_cell_of_a_concept_that_the_run_does_not_list_is_found(bundle: Path) -> None:
    def change(row: dict[str, object]) -> None:
        if row["id"] == 5:
            row["concept"] = "companion/other"

    text = differences(forged(bundle, edited_bundle.table(bundle, "cells", change)), again=ALL)
    assert "a cell has concept 'companion/other', which is not of the run" in text


def test_cells_that_were_left_out_are_missing_in_the_plan(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    dropped = [row for row in edited_bundle.rows(bundle, "cells") if row["method"] == "mean-shift"]
    ids = {row["id"] for row in dropped}
    changes: dict[str, bytes | None] = {}
    for table, column in (("cells", "id"), ("scores", "cell")):
        changes |= edited_bundle.kept(bundle, table, lambda row, c=column: row[c] not in ids)
    keys = {row["image"] for row in dropped if row["strength"]}
    files = {r["file"] for r in edited_bundle.rows(bundle, "images") if r["key"] in keys}
    changes |= edited_bundle.kept(bundle, "images", lambda row: row["key"] not in keys)
    changes |= {name: None for name in entries if name.removeprefix("images/") in files}
    assert "cell mean-shift, " in differences(forged(bundle, changes))


def test_interventions_that_are_fitted_anew_give_the_same_pictures(bundle: Path) -> None:
    again = RemakeOptions(number=ALL, refit=True)
    found = list(verify(bundle, VerifyOptions(again=again)))
    assert not kinds(found, "differs")
    assert "interventions of hypertransport, mean-shift, prompt were made anew" in kinds(
        found, "holds"
    )


def test_a_forged_intervention_does_not_give_the_pictures(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    one, two = (
        name for name, data in entries.items() if "/maps/" in name and b"mean-shift" in data
    )
    forged(bundle, {one: entries[two], two: entries[one]})
    assert "has other bytes when it is made again" in differences(bundle, again=ALL)


def test_a_damaged_intervention_is_told_and_other_pictures_are_made_again(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    names = [name for name, data in entries.items() if "/maps/" in name and b"mean-shift" in data]
    changed = bytearray(entries[names[0]])
    changed[-1] ^= 1
    forged(bundle, {names[0]: bytes(changed), names[1]: None})
    found = findings(bundle, again=ALL)
    assert "intervention of mean-shift: " in "\n".join(kinds(found, "differs"))
    assert "pictures of mean-shift: interventions are not in the bundle" in kinds(
        found, "unchecked"
    )
    assert "5 of 5 pictures made again have the same bytes" in kinds(found, "holds")


def test_a_bundle_names_no_files_of_this_machine(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("not a set")

    def change(plan: dict[str, Any]) -> None:
        plan["concept_set"] = str(tmp_path / "mine.csv")

    found = findings(forged(bundle, edited_bundle.fact(bundle, "plan", change)), again=3)
    assert "give it with --concept-set" in "\n".join(kinds(found, "unchecked"))
    assert kinds(found, "differs") == []


def test_weights_that_a_bundle_names_are_not_read(bundle: Path) -> None:
    changes = edited_bundle.fact(bundle, "plan", lambda plan: plan.update(weights="/etc"))
    found = findings(forged(bundle, changes), again=3)
    assert "give them with --weights" in "\n".join(kinds(found, "unchecked"))


def test_another_model_is_said_to_be_another(bundle: Path) -> None:
    changes = edited_bundle.fact(bundle, "model", lambda model: model.update(revision="other"))
    found = findings(forged(bundle, changes), again=3)
    assert "the run's model emoji is other" in "\n".join(kinds(found, "unchecked"))


def test_imported_pictures_cannot_be_made_again_and_nothing_differs(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", concepts=2, prompts=report_run.PROMPTS[:1], size=8)
    words = [
        {"id": id_, "kind": "k", "split": "test", "text": text, "template": f"{{prompt}} {text}"}
        for id_, text in (("lemon", "with lemon"), ("tones", "in blue tones"))
    ]
    (run / "concepts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in words))
    concepts = concept.load(str(run / "concepts.jsonl"))
    with Store.open(run) as store:
        store.set_facts(
            plan={**store.facts()["plan"], "concept_set": "concepts.jsonl"},
            model={"name": "elsewhere", "revision": ""},
            concept_set={"name": "words of the pictures", "version": concepts.version},
            concepts={
                each.id: {"kind": "k", "text": each.text, "split": "test", "digest": each.digest}
                for each in concepts.splits["test"]
            },
            methods={name: {"card": "", "given": name} for name in report_run.METHODS},
        )
    found = findings(pack(run, tmp_path / "mine.zip").path, again=3)
    assert kinds(found, "differs") == []
    unchecked_ = "\n".join(kinds(found, "unchecked"))
    assert "they are in no set but that of the bundle" in unchecked_
    assert "pictures cannot be made again: no model of htbench made them" in unchecked_


def test_a_bundle_without_pictures_has_scores_that_cannot_be_checked(
    made: Path, tmp_path: Path
) -> None:
    small = pack(made.parent / "run", tmp_path / "small.zip", with_pictures=False).path
    found = findings(small)
    assert "the bundle has no pictures" in "\n".join(kinds(found, "unchecked"))
    assert kinds(found, "differs") == []


def test_the_draw_is_that_of_the_seed(bundle: Path) -> None:
    def drawn(seed: int) -> list[str]:
        return [str(each.row.file) for each in draw([part], RemakeOptions(number=3, seed=seed))]

    with unpacked(bundle) as run, Store.read(run) as store:
        part = Part(folder=run, title="", facts=Facts.read(store), concept_set=None)
        assert drawn(1) == drawn(1)
        assert len({tuple(drawn(seed)) for seed in range(20)}) > 5


def test_the_command_ends_with_5_and_names_the_change(bundle: Path) -> None:
    changes = edited_bundle.table(bundle, "timings", lambda row: row.update(seconds=1e-9))
    edited_bundle.edit(bundle, changes)
    answer = htbench("verify", str(bundle), "--quiet")
    assert answer.returncode == Refused.exit_code
    assert answer.stdout.startswith("✗ run/tables/timings.jsonl (times) is not what was packed")
    assert "1 finding differs" in answer.stderr


def test_a_bundle_without_a_wanted_signature_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "signers").write_text("")
    assert "there is no signature" in differences(bundle, signers=tmp_path / "signers")
