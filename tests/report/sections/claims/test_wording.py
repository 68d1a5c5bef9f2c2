"""The claim on wording, on runs with planted presences."""

from pathlib import Path

from kit import claims_run, worded_run
from kit.worded_run import Planted

from htbench.report.sections.claims import Claim
from htbench.run import wording_runs
from htbench.run.store import Store


def decide(folder: Path, presence: Planted, **changes: object) -> Claim:
    worded_run.build(folder, presence, **changes)
    return claims_run.decide(folder)["wording"]


def given(own: float, prompting: float) -> Planted:
    return {("synonym", "hypertransport"): own, ("synonym", "prompt"): prompting}


def test_a_presence_well_above_promptings_supports_it(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", given(0.7, 0.3))
    assert claim.verdict == "supported"
    assert "wholly at or above 0.1" in claim.reason
    assert "+.40" in claim.reason


def test_a_presence_below_the_margin_contradicts_it(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", given(0.35, 0.3))
    assert (claim.verdict, "wholly below 0.1" in claim.reason) == ("contradicted", True)


def test_an_interval_on_both_sides_of_the_margin_leaves_it_open(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", given(0.4, 0.3), noise=0.1)
    assert (claim.verdict, "on both sides of 0.1" in claim.reason) == ("inconclusive", True)


def test_without_synonyms_it_is_not_tested_and_the_command_adds_them(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", {}, wordings=("unknown",))
    assert claim.verdict == "not tested"
    assert "--wording canonical,synonym,unknown" in claim.command


def test_without_prompting_it_is_not_tested(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", {}, methods=("none", "lineas", "hypertransport"))
    assert (claim.verdict, "--method prompt" in claim.command) == ("not tested", True)


def test_two_concepts_are_too_few(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", given(0.7, 0.3), concepts=3)
    assert (claim.verdict, "too few for an interval" in claim.reason) == ("not tested", True)


def test_half_scored_synonyms_decide_nothing(tmp_path: Path) -> None:
    folder = worded_run.build(tmp_path / "run", given(0.7, 0.3))
    with Store.open(wording_runs.folder(folder, "synonym")) as store:
        store.drop_scores([store.rows()[-1].concept])
    claim = claims_run.decide(folder)["wording"]
    assert (claim.verdict, "have no scores yet" in claim.reason) == ("not tested", True)


def test_a_run_in_canonical_words_has_no_such_claim(tmp_path: Path) -> None:
    claims_run.build(tmp_path / "run")
    assert "wording" not in claims_run.decide(tmp_path / "run")


def test_it_says_what_is_so_by_construction_of_the_embedded_world(tmp_path: Path) -> None:
    claim = decide(tmp_path / "run", given(0.7, 0.3))
    assert any("by construction of the embedded world" in each for each in claim.findings)
