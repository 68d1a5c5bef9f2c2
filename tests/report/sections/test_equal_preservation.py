"""Gain at equal image preservation, from runs whose curves are planted."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from kit.planted_run import planted

from htbench.report.sections import equal_preservation
from htbench.report.sections.equal_preservation import EqualPreservation
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary

STRENGTHS = (0.0, 0.5, 1.0, 2.0)
GENTLE = {0.0: (0.0, 1.0), 0.5: (0.1, 0.9), 1.0: (0.2, 0.7), 2.0: (0.3, 0.3)}
"""Gain and image preservation by strength: half is kept midway from 1 to 2, at a gain of .25."""
ROUGH = {0.0: (0.0, 1.0), 0.5: (0.4, 0.3), 1.0: (0.5, 0.2), 2.0: (0.6, 0.1)}
CAREFUL = {0.0: (0.0, 1.0), 0.5: (0.1, 0.9), 1.0: (0.2, 0.8), 2.0: (0.3, 0.7)}
WEAK = {strength: (gain / 2, kept) for strength, (gain, kept) in GENTLE.items()}


def collect(folder: Path) -> EqualPreservation:
    with Store.read(folder) as store:
        return equal_preservation.collect(Summary(store))


def test_gain_is_interpolated_where_half_is_kept(tmp_path: Path) -> None:
    own = collect(planted(tmp_path / "run", {"lineas": GENTLE})).get("lineas")
    assert (own.matched.gain.mean, own.matched.strength) == pytest.approx((0.25, 1.5))


def test_methods_rank_by_the_gain_at_the_level(tmp_path: Path) -> None:
    curves = {"linear-act": WEAK, "lineas": GENTLE}
    found = collect(planted(tmp_path / "run", curves))
    assert [(own.method, own.rank.rank, own.rank.tier) for own in found.methods] == [
        ("lineas", 1, 1),
        ("linear-act", 2, 2),
    ]


@pytest.mark.parametrize(
    ("curve", "note"),
    [
        (ROUGH, "always keeps less: at strength 0.5 it keeps .30 and gains .40"),
        (CAREFUL, "always keeps more: at strength 2 it keeps .70 and gains .30"),
    ],
)
def test_a_method_that_never_keeps_half_is_told_in_words_and_has_no_rank(
    tmp_path: Path, curve: Mapping[float, tuple[float, float]], note: str
) -> None:
    found = collect(planted(tmp_path / "run", {"one": GENTLE, "two": WEAK, "other": curve}))
    own = found.methods[-1]
    assert (own.method, own.matched, own.rank) == ("other", None, None)
    assert own.note.startswith(note)


def test_a_method_whose_cells_failed_gains_less_and_is_not_ranked(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run", {"lineas": GENTLE, "linear-act": WEAK})
    with Store.open(folder) as store:
        lost = next(row for row in store.rows() if row.method == "lineas" and row.strength == 2.0)
        store.add_failure([lost.image], Failure(kind="nan", message="no numbers"))
    own = collect(folder).get("lineas")
    assert own.note == "not ranked: 1 of 12 cells failed (strength 2)"
    assert own.rank is None
    assert own.matched.gain.mean < 0.25


def test_with_one_strength_above_0_the_command_for_more_is_told(tmp_path: Path) -> None:
    found = collect(planted(tmp_path / "run", {"lineas": GENTLE}, strengths=(0.0, 1.0)))
    assert (found.methods, found.ranks) == ([], None)
    assert "--strength 0,0.25,0.5,0.75,1" in found.advice
