"""The claims of a report: the claims on speed and pictures, and how all claims are shown."""

import json
from pathlib import Path

import pytest
from kit import claims_run, report_run
from kit.claims_run import rate
from kit.html_page import Page

from htbench import report
from htbench.report.sections import claims
from htbench.run.store import Store
from htbench.run.summary import Summary


def add_times(run: Path, *, fit: float, predict: float, number: int = 12) -> Path:
    """Give every per-concept fit and every prediction these seconds."""
    with Store.open(run) as store:
        for concept in report_run._concepts(number, ""):
            for method, seconds in (("lineas", fit), ("hypertransport", predict)):
                store.add_timing("towards", method, concept.id, seconds, "cpu")
    return run


def build(folder: Path, *, timed: bool = False, model: str = "dmd2") -> Path:
    """A run of a model that the paper measured, without timings unless `timed`."""
    run = report_run.build(
        folder,
        methods=claims_run.METHODS,
        prompts=report_run.PROMPTS[:1],
        size=8,
        timed=timed,
    )
    with Store.open(run) as store:
        store.set_facts(model={"name": model})
    return run


@pytest.mark.parametrize(("predict", "verdict"), [(0.01, "supported"), (0.1, "contradicted")])
def test_a_speed_up_is_decided_by_its_interval(
    tmp_path: Path, predict: float, verdict: str
) -> None:
    run = add_times(build(tmp_path / "run"), fit=50.0, predict=predict)
    assert claims_run.decide(run)["speed"].verdict == verdict


def test_a_speed_up_whose_interval_holds_the_limit_is_inconclusive(tmp_path: Path) -> None:
    claim = claims_run.decide(build(tmp_path / "run", timed=True))["speed"]
    assert claim.verdict == "inconclusive"
    assert "on both sides of 3,600" in claim.reason


def test_a_speed_up_of_another_model_stands_beside_the_papers_without_a_verdict(
    tmp_path: Path,
) -> None:
    run = add_times(build(tmp_path / "run", model="emoji"), fit=50.0, predict=0.01)
    claim = claims_run.decide(run)["speed"]
    figures = "5,000× here; the paper reports 3,600 to 7,000× on DMD2 and Nitro-1-PixArt"
    assert (claim.verdict, claim.beside) == ("not tested", figures)
    assert figures in report.write(run).read_text(encoding="utf-8")


def test_a_speed_up_names_its_times_and_how_they_were_measured(tmp_path: Path) -> None:
    claim = claims_run.decide(add_times(build(tmp_path / "run"), fit=50.0, predict=0.01))["speed"]
    assert claim.findings[0] == (
        "5,000× [5,000, 5,000] over lineas, the quickest fit with at least its concept gain in "
        "this run: 50.0 s / 10.0 ms; its concept gain: .15"
    )
    assert "Times were measured during the run" in claim.reason
    assert claim.command == "htbench time --model dmd2 --name run"


def test_two_timings_are_too_few(tmp_path: Path) -> None:
    run = add_times(build(tmp_path / "run"), fit=50.0, predict=0.01, number=2)
    claim = claims_run.decide(run)["speed"]
    assert claim.verdict == "not tested"
    assert "fewer than three timings" in claim.reason


@pytest.mark.parametrize(
    ("gain", "noise", "verdict"),
    [
        (0.3, 0.01, "supported"),
        (-0.3, 0.01, "contradicted"),
        (0.0, 0.0, "contradicted"),
        (0.0, 0.1, "inconclusive"),
    ],
)
def test_pictures_steer_if_the_whole_interval_of_their_gain_is_above_0(
    tmp_path: Path, gain: float, noise: float, verdict: str
) -> None:
    run = claims_run.build(tmp_path / "run", {"hypertransport-image": gain}, noise=noise)
    assert claims_run.decide(run)["pictures"].verdict == verdict


def test_a_run_without_a_method_that_reads_pictures_names_the_command(tmp_path: Path) -> None:
    methods = ("none", "prompt", "lineas", "hypertransport")
    run = report_run.build(tmp_path / "run", methods=methods, concepts=2, size=8)
    claim = claims_run.decide(run)["pictures"]
    assert claim.verdict == "not tested"
    assert "--method hypertransport-image" in claim.command


def test_the_gain_by_pictures_is_compared_with_that_by_words(tmp_path: Path) -> None:
    gains = {"hypertransport": 0.3, "hypertransport-image": 0.3}
    findings = claims_run.decide(claims_run.build(tmp_path / "run", gains))["pictures"].findings
    assert findings[-1].endswith("of the gain by words; equivalence within 10 % is shown")


def test_a_scorer_that_the_method_reads_with_tests_nothing(tmp_path: Path) -> None:
    run = claims_run.build(tmp_path / "run")
    with Store.open(run) as store:
        methods = store.facts()["methods"]
        for method in ("hypertransport", "hypertransport-image"):
            methods[method]["training"]["encoders"] = ["emoji-clip-b"]
        store.set_facts(methods=methods)
    decided = claims_run.decide(run)
    scored = ("match", "strength", "pictures")
    assert [decided[name].verdict for name in scored] == ["not tested"] * 3


def test_a_run_without_the_papers_method_tests_nothing(tmp_path: Path) -> None:
    run = report_run.build(
        tmp_path / "run", methods=("none", "prompt", "lineas"), concepts=2, size=8
    )
    assert {claim.verdict for claim in claims_run.decide(run).values()} == {"not tested"}


def test_a_rule_states_the_numbers_that_it_is_decided_by(tmp_path: Path) -> None:
    paper = claims.load_claims()
    for name, claim in claims_run.decide(claims_run.build(tmp_path / "run")).items():
        numbers = [value for value in paper[name].values() if isinstance(value, int | float)]
        assert all(f"{number:,}" in claim.rule for number in numbers)


def test_the_page_and_the_lines_of_json_give_the_same_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = claims_run.build(tmp_path / "run")
    claims_run.add_study(run, rate(1, 0.8, 1.2))
    page = report.write(run).read_text(encoding="utf-8")
    with Store.read(run) as store:
        section = claims.from_summary(Summary(store))
    claims.print_lines(section)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["verdict"] for line in lines] == [claim.verdict for claim in section.claims]
    assert next(line for line in lines if line["name"] == "people")["verdict"] == "contradicted"
    for claim in section.claims:
        assert f">{claim.verdict}</span></h3>" in page


def test_the_head_of_the_section_counts_the_verdicts_and_tells_the_limits_of_the_run(
    tmp_path: Path,
) -> None:
    text = Page(report.write(claims_run.build(tmp_path / "run")).read_text(encoding="utf-8")).text
    assert "Claims of HyperTransport 2 supported, 4 not tested." in text
    limits = "This run steers emoji, a small model of our own, on 12 concepts. Its results say"
    assert text.index(limits) < text.index("A new concept takes one forward pass")


def test_the_terminal_lists_verdicts_where_any_claim_is_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.read(claims_run.build(tmp_path / "run")) as store:
        claims.show(claims.from_summary(Summary(store)))
    assert "supported" in capsys.readouterr().out
    bare = report_run.build(tmp_path / "bare", methods=("none", "prompt"), concepts=2, size=8)
    with Store.read(bare) as store:
        claims.show(claims.from_summary(Summary(store)))
        claims.print_lines(claims.from_summary(Summary(store)))
    assert capsys.readouterr().out == ""
