"""The claim that HyperTransport matches the strongest per-concept method: planted gains."""

from pathlib import Path

import numpy as np
import pytest
from kit import claims_run, report_run

from htbench.run.store import Store
from htbench.run.summary import Summary

EQUAL = {"hypertransport": 0.3, "lineas": 0.3, "linear-act": 0.1}


def plant_dev(folder: Path, gains: dict[str, float], *, dead: str = "") -> None:
    """Dev results in which methods have these gains, and none on the kind of concept `dead`."""
    dev = claims_run.build(folder / "tuning", gains, noise=0.0)
    with Store.open(dev) as store:
        kinds = {name: fact["kind"] for name, fact in store.facts()["concepts"].items()}
        store.add_scores(
            (row.id, "concept_gain", "emoji-clip-b@1", 0.0)
            for row in store.rows()
            if kinds[row.concept] == dead
        )
    with Store.open(folder) as store:
        store.set_facts(
            tuned={
                method: {"strength": 1.0, "curve": [[1.0, gain, 0.5]]}
                for method, gain in gains.items()
            }
        )


def test_a_method_within_the_margin_matches_and_one_below_is_contradicted(tmp_path: Path) -> None:
    equal = claims_run.decide(claims_run.build(tmp_path / "equal", EQUAL))["match"]
    lower = claims_run.decide(
        claims_run.build(tmp_path / "lower", EQUAL | {"hypertransport": 0.2})
    )["match"]
    assert (equal.verdict, lower.verdict) == ("supported", "contradicted")
    assert "lineas is the per-concept method with the highest gain on this run" in lower.reason
    assert any("on both sides is shown" in text for text in equal.findings)


def test_few_and_scattered_concepts_leave_a_match_open_and_the_test_says_how_weak_it_is(
    tmp_path: Path,
) -> None:
    claim = claims_run.decide(claims_run.build(tmp_path / "run", EQUAL, noise=0.1))["match"]
    assert claim.verdict == "inconclusive"
    assert "on both sides of 0" in claim.reason
    text = next(text for text in claim.findings if text.startswith("power"))
    assert int(text.split(" in ")[1].split(" %")[0]) < 50


def test_a_better_method_is_supported_and_is_not_equivalent(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", EQUAL | {"hypertransport": 0.4})
    claim = claims_run.decide(run)["match"]
    assert claim.verdict == "supported"
    assert any("on both sides is not shown" in text for text in claim.findings)


def test_the_rival_s_own_error_counts(tmp_path: Path) -> None:
    """The difference that decides is own − 0.9 × rival of each concept, not a fixed margin."""
    run = claims_run.build(tmp_path / "run", EQUAL, noise=0.03)
    with Store.read(run) as store:
        own, rival = (
            np.array(list(Summary(store).means(method, 1.0).values()))
            for method in ("hypertransport", "lineas")
        )
    reason = claims_run.decide(run)["match"].reason
    assert f"is +{(own - 0.9 * rival).mean():.2f} [".replace("+0.", "+.") in reason
    assert f"{own.mean() / rival.mean():.0%}".replace("%", " %") in reason


def test_dev_concepts_choose_the_rival(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", EQUAL)
    plant_dev(run, {"lineas": 0.1, "linear-act": 0.2, "hypertransport": 0.2})
    reason = claims_run.decide(run)["match"].reason
    assert "linear-act is the per-concept method with the highest gain on dev concepts" in reason


def test_kinds_that_the_rival_cannot_steer_on_dev_concepts_are_left_out(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", EQUAL)
    with Store.read(run) as store:
        kinds = [fact["kind"] for fact in store.facts()["concepts"].values()]
    plant_dev(run, EQUAL, dead="weather")
    claim = claims_run.decide(run)["match"]
    left = 12 - kinds.count("weather")
    assert f"over {left} concepts" in claim.reason
    counted = "of the kinds that lineas steers on dev concepts: colour, object and style"
    assert f"{left} of 12 concepts count, {counted}" in claim.findings


def test_without_dev_results_all_concepts_count_and_the_claim_says_so(tmp_path: Path) -> None:
    findings = claims_run.decide(claims_run.build(tmp_path / "run", EQUAL))["match"].findings
    assert any(text.startswith("all 12 concepts count, since no dev results") for text in findings)


def test_concepts_that_the_method_was_trained_on_do_not_count(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", EQUAL)
    with Store.open(run) as store:
        facts = store.facts()
        facts["methods"]["hypertransport"]["leaked"] = list(facts["concepts"])[:5]
        store.set_facts(methods=facts["methods"])
    claim = claims_run.decide(run)["match"]
    assert "over 7 concepts" in claim.reason
    assert "5 concepts that hypertransport was trained on are left out" in claim.findings


def test_a_damaged_folder_of_dev_results_is_as_good_as_none(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", EQUAL)
    (run / "tuning").mkdir()
    (run / "tuning" / "run.sqlite").write_bytes(b"damaged")
    assert claims_run.decide(run)["match"].verdict == "supported"


def test_a_rival_without_gain_cannot_be_matched(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("hypertransport", "lineas", "linear-act"), 0.0)
    claim = claims_run.decide(claims_run.build(tmp_path / "run", nothing, noise=0.0))["match"]
    assert claim.verdict == "not tested"


def test_a_match_is_also_told_at_the_strengths_that_dev_concepts_chose(tmp_path: Path) -> None:
    run = claims_run.build(
        tmp_path / "run", EQUAL | {"hypertransport": 0.2, "lineas": 0.4}, strengths=(0.0, 0.5, 1.0)
    )
    with Store.open(run) as store:
        store.set_facts(tuned={"hypertransport": {"strength": 1.0}, "lineas": {"strength": 0.5}})
    claim = claims_run.decide(run)["match"]
    assert claim.verdict == "contradicted"
    start = "at the strengths chosen on dev concepts, hypertransport (1) minus lineas (0.5): "
    text = next(text for text in claim.findings if text.startswith(start))
    difference = float(text.removeprefix(start).split(" ")[0].replace("−", "-"))
    assert difference == pytest.approx(0, abs=0.02)


def test_one_concept_gives_no_interval_and_no_verdict(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run", EQUAL, concepts=1)
    claim = claims_run.decide(run)["match"]
    assert (claim.verdict, claim.reason) == (
        "not tested",
        "1 concept, 1 independent of each other: too few for an interval.",
    )


def test_a_run_without_a_per_concept_method_names_the_command(tmp_path: Path) -> None:
    run = report_run.build(
        tmp_path / "run", methods=("none", "prompt", "hypertransport"), concepts=2, size=8
    )
    claim = claims_run.decide(run)["match"]
    assert claim.verdict == "not tested"
    assert "--method linear-act --method lineas" in claim.command
