"""Concepts in known words and with new ones, on planted scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from kit import report_run

from htbench import report
from htbench.report.roles import find_roles
from htbench.report.sections import claims, novelty
from htbench.report.sections.novelty import Novelty
from htbench.run.store import Store
from htbench.run.summary import Summary

METHODS = ("none", "mean-shift", "lineas", "hypertransport")
NEW = ("lemon", "tones", "linocut", "fog")


def run(
    folder: Path,
    gains: Mapping[str, tuple[float, float]],
    *,
    novel: Sequence[str] | None = NEW,
    methods: Sequence[str] = METHODS,
) -> Path:
    """A run of 12 concepts of which four are new to `hypertransport`.

    `gains` are those of known and of new concepts, and each concept adds a gain of its own.
    """
    report_run.build(
        folder,
        methods=methods,
        concepts=12,
        prompts=report_run.PROMPTS[:1],
        strengths=(0.0, 1.0),
        size=8,
    )
    with Store.open(folder) as store:
        facts = store.facts()
        cards = facts["methods"]
        audit = {
            "trained_on": 160,
            "exact": [],
            "normalised": [],
            "near": [],
            "nearest": 0.5,
            "encoder": "emoji-clip-b",
            "novel": novel,
        }
        store.set_facts(
            methods={**cards, "hypertransport": {**cards["hypertransport"], "audit": audit}}
        )
        easy = {concept: 0.01 * k for k, concept in enumerate(facts["concepts"])}
        planted = [
            (
                row.id,
                (gains.get(row.method, (0, 0))[row.concept in NEW] + easy[row.concept])
                * row.strength,
            )
            for row in store.rows()
        ]
        store.add_scores((id_, "concept_gain", "emoji-clip-b@1", gain) for id_, gain in planted)
    return folder


def found(folder: Path) -> list[Novelty]:
    with Store.read(folder) as store:
        summary = Summary(store)
        return novelty.collect(summary, find_roles(summary, claims.load_claims()["paper"]))


GAINS = {"hypertransport": (0.3, 0.1), "lineas": (0.25, 0.2), "mean-shift": (0.1, 0.1)}


def test_each_sort_of_concept_is_set_beside_the_best_fit_of_it(tmp_path: Path) -> None:
    (one,) = found(run(tmp_path / "run", GAINS))
    assert (one.method, one.reference, one.trained_on) == ("hypertransport", "lineas", 160)
    assert one.known is not None
    assert one.novel is not None
    assert (one.known.score.n, one.novel.score.n) == (8, 4)
    assert one.known.difference is not None
    assert one.novel.difference is not None
    assert (one.known.difference.mean, one.novel.difference.mean) == pytest.approx((0.05, -0.1))


def test_what_new_words_cost_does_not_depend_on_how_hard_their_concepts_are(tmp_path: Path) -> None:
    (one,) = found(run(tmp_path / "one", GAINS))
    (other,) = found(
        run(tmp_path / "other", {name: (known, new - 0.08) for name, (known, new) in GAINS.items()})
    )
    assert one.loss is not None
    assert other.loss is not None
    assert (one.loss.mean, other.loss.mean) == pytest.approx((0.15, 0.15))


def test_without_a_fit_of_each_concept_scores_stand_alone(tmp_path: Path) -> None:
    (one,) = found(run(tmp_path / "run", GAINS, methods=("none", "prompt", "hypertransport")))
    assert one.known is not None
    assert (one.reference, one.known.reference, one.known.difference, one.loss) == (
        None,
        None,
        None,
        None,
    )


def test_a_run_whose_audit_does_not_tell_has_no_such_table(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", GAINS, novel=None)
    assert found(folder) == []
    assert "Known and new words</h3>" not in report.write(folder).read_text(encoding="utf-8")


def test_the_page_shows_both_sorts_and_the_claim_names_them(tmp_path: Path) -> None:
    text = report.write(run(tmp_path / "run", GAINS)).read_text(encoding="utf-8")
    assert "Known and new words</h3>" in text
    assert "hypertransport minus lineas: on 8 concepts in words of its training +.05" in text
    assert "on 4 concepts with a new word −.10" in text
