"""Tables: only figures on equal terms share one, and every bundle keeps its own row."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kit import bundle_folder, edited_bundle

from htbench.board import cells, tables
from htbench.board.collection import collect
from htbench.board.terms import Terms
from htbench.bundles.archive import Archive

Change = Callable[[Path], dict[str, bytes | None]]


def terms(bundle: Path) -> Terms:
    with Archive.open(bundle) as archive:
        return Terms.of(cells.read(archive))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundle_folder.add(tmp_path / "bundles", "a", concepts=2, methods=("none", "prompt"))


def other_revision(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.fact(bundle, "model", lambda fact: fact.update(revision="2"))


def other_version(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.fact(bundle, "concept_set", lambda fact: fact.update(version="2"))


def other_scorer(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.fact(bundle, "scorer", lambda fact: fact.update(id="other@1"))


def other_words(bundle: Path) -> dict[str, bytes | None]:
    def change(fact: edited_bundle.Row) -> None:
        next(iter(fact.values()))["text"] = "something else"

    return edited_bundle.fact(bundle, "concepts", change)


def other_seed(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.table(bundle, "cells", lambda row: row.update(seed=row["seed"] + 1))


def other_prompt(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.table(bundle, "cells", lambda row: row.update(prompt="another"))


@pytest.mark.parametrize(
    "change",
    [other_revision, other_version, other_scorer, other_words, other_seed, other_prompt],
)
def test_what_decides_a_score_decides_the_terms(bundle: Path, change: Change) -> None:
    before = terms(bundle)
    edited_bundle.forge(bundle, change(bundle))
    assert terms(bundle).digest != before.digest


def other_method(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.table(
        bundle, "cells", lambda row: row.update(method=row["method"].replace("prompt", "mine"))
    )


def other_strength(bundle: Path) -> dict[str, bytes | None]:
    return edited_bundle.table(
        bundle, "cells", lambda row: row.update(strength=row["strength"] * 2)
    )


@pytest.mark.parametrize("change", [other_method, other_strength])
def test_what_is_compared_is_no_part_of_the_terms(bundle: Path, change: Change) -> None:
    before = terms(bundle)
    edited_bundle.forge(bundle, change(bundle))
    assert terms(bundle) == before


def test_a_bundle_that_lacks_a_concept_at_a_prompt_has_terms_of_its_own(bundle: Path) -> None:
    before = terms(bundle)
    ids = [row["id"] for row in edited_bundle.rows(bundle, "cells")]
    changes = edited_bundle.table(
        bundle,
        "cells",
        lambda row: row.update(prompt="b" if row["id"] == ids[-1] else row["prompt"]),
    )
    edited_bundle.forge(bundle, changes)
    after = terms(bundle)
    assert (after.prompts, after.concepts) == (2, before.concepts)
    assert after.digest != before.digest


def test_lines_are_by_score_and_methods_without_a_rank_come_last(tmp_path: Path) -> None:
    for name in ("a", "b"):
        bundle_folder.add(tmp_path / "bundles", name, made=f"2026-0{ord(name) - 90}-01")
    (board,) = tables.boards(collect(tmp_path / "bundles").entries)
    (table,) = board.tables
    scores = [line.row.scores["concept_gain"] for line in table.lines]
    means = [score.mean for score in scores if score]
    assert len(means) == 4
    assert means == sorted(means, reverse=True)
    latest = [line.entry.name for line in table.lines if line.is_latest]
    assert latest == ["b.bundle.zip", "b.bundle.zip"]
