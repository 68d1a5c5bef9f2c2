"""Agreement of judges with people and with each other; win rates corrected by people's votes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, fair, first_picker, serving

from htbench.core.errors import UsageError
from htbench.judging import agreement
from htbench.judging.agreement import HumanVote, difference_estimate
from htbench.judging.leaderboard import Pairing, TournamentResult

HEADER = "criterion,concept,prompt,seed,left,right,choice,rater\n"


def played(folder: Path, mind: object = fair) -> TournamentResult:
    judged_run.build(folder / "run", concepts=6)
    with serving(Endpoint(mind=mind)) as endpoint:  # type: ignore[arg-type]
        return judged_run.judged(folder / "run", judged_run.card(folder / "judge", endpoint.url))


def people(found: TournamentResult, *, contrary: int = 0) -> list[HumanVote]:
    """Two people: the first always agrees with the judge, the second with exceptions."""
    values = list(found.criteria[0].preferences.items())
    votes = [
        HumanVote(criterion="presence", pairing=pairing, value=value, rater="ann")
        for pairing, value in values
    ]
    return votes + [
        HumanVote(
            criterion="presence",
            pairing=pairing,
            value=1 - value if k < contrary else value,
            rater="bob",
        )
        for k, (pairing, value) in enumerate(values)
    ]


def test_people_who_say_the_same_agree_fully(tmp_path: Path) -> None:
    found = played(tmp_path)
    (agreed,) = agreement.agreement_with_people(found, people(found))
    assert (agreed.decided.value, agreed.all.value, agreed.kappa, agreed.tau) == (
        1.0,
        1.0,
        1.0,
        pytest.approx(1.0),
    )
    assert agreed.ceiling
    assert agreed.ceiling.value == 1.0


def test_the_ceiling_is_how_often_people_agree(tmp_path: Path) -> None:
    found = played(tmp_path)
    (agreed,) = agreement.agreement_with_people(found, people(found, contrary=9))
    assert agreed.ceiling
    assert (agreed.ceiling.count, agreed.ceiling.of) == (27, 36)


def test_judges_are_compared_on_what_both_decide(tmp_path: Path) -> None:
    one, other = played(tmp_path / "one"), played(tmp_path / "other", first_picker)
    (same,) = agreement.agreement_with_judge(one, one)
    (none,) = agreement.agreement_with_judge(one, other)
    assert (same.decided.value, same.tau) == (1.0, pytest.approx(1.0))
    assert (none.decided.of, none.all.count) == (0, 0)


def simulated(seed: int) -> tuple[dict[Pairing, float], dict[Pairing, dict[str, float]]]:
    """A judge with a bias of 0.15 to the first method; people judge a tenth, and the truth is 0.5.

    There are 200 concepts with 5 pairings each.
    """
    dice = np.random.default_rng(seed)
    judged: dict[Pairing, float] = {}
    labelled: dict[Pairing, dict[str, float]] = {}
    for concept in range(200):
        rate = 0.5 + 0.1 * dice.standard_normal()
        for k in range(5):
            pairing = ("a", "b", f"c{concept:03}", f"p{k}", 0)
            person = float(dice.random() < rate)
            judged[pairing] = float(dice.random() < 0.15) or person if person == 0 else person
            judged[pairing] = max(judged[pairing], person)
            if dice.random() < 0.1:
                labelled[pairing] = {"ann": person}
    return judged, labelled


def test_corrected_win_rates_cover_the_truth_where_a_biased_judges_do_not() -> None:
    found = [difference_estimate(*simulated(seed)) for seed in range(150)]
    assert np.mean([raw.low <= 0.5 <= raw.high for raw, _ in found]) < 0.5
    assert np.mean([mended.low <= 0.5 <= mended.high for _, mended in found]) >= 0.92


def test_votes_without_names_all_count(tmp_path: Path) -> None:
    found = played(tmp_path)
    pairing = next(iter(found.criteria[0].preferences))
    votes = [
        HumanVote(criterion="presence", pairing=pairing, value=value, rater="")
        for value in (1.0, 1.0, 0.0)
    ]
    (agreed,) = agreement.agreement_with_people(found, votes)
    assert agreed.decided.count == (found.criteria[0].preferences[pairing] > 0.5)


def test_people_who_label_are_a_sample_too() -> None:
    judged, _ = simulated(0)
    raters = {f"r{k}": 1.0 if k < 3 else 0.0 for k in range(6)}  # they never agree
    one, several = (
        difference_estimate(judged, dict.fromkeys(judged, votes))[1]
        for votes in ({"r0": 1.0}, raters)
    )
    assert one.high - one.low < 0.1
    assert several.high - several.low > 0.8


def test_two_people_who_label_give_no_interval() -> None:
    judged, _ = simulated(0)
    _, corrected = difference_estimate(judged, {each: {"a": 1.0, "b": 0.0} for each in judged})
    assert corrected.value == pytest.approx(0.5)
    assert np.isnan(corrected.low)


def test_corrections_are_made_for_pairs_that_people_judged(tmp_path: Path) -> None:
    found = played(tmp_path)
    votes = [vote for vote in people(found) if vote.pairing[:2] == ("good", "none")]
    (mended,) = agreement.corrected_rates(found, votes)
    assert (mended.one, mended.two, mended.labelled) == ("good", "none", 6)
    assert mended.corrected.value == pytest.approx(mended.raw.value)


def test_votes_are_read_from_either_side(tmp_path: Path) -> None:
    rows = [
        "presence,c,p,0,b,a,left,ann",
        "presence,c,p,0,a,b,right,bob",
        "presence,c,p,0,a,b,tie,eve",
    ]
    (tmp_path / "votes.csv").write_text(HEADER + "\n".join(rows))
    votes = agreement.read_votes(tmp_path / "votes.csv")
    assert [vote.value for vote in votes] == [0.0, 0.0, 0.5]
    assert {vote.pairing for vote in votes} == {("a", "b", "c", "p", 0)}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("criterion,concept\n", "no column 'prompt'"),
        (HEADER + "x,c,p,0,a,b,maybe,r", "row 2 .*'maybe'"),
        (HEADER + "x,c,p,no,a,b,tie,r", "row 2 .*seed 'no'"),
    ],
)
def test_votes_that_make_no_sense_are_one_line_with_their_row(
    text: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(UsageError, match=why):
        agreement.read_votes(tmp_path / "votes.csv")


def test_a_file_of_votes_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file of votes"):
        agreement.read_votes(tmp_path / "votes.csv")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 50), "is a ZIP archive"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (
            lambda path: path.write_bytes((HEADER + "x,c,p\xe4,0,a,b,tie,r").encode("latin-1")),
            "not UTF-8",
        ),
        (lambda path: path.write_text(HEADER + "x,c,p"), "row 2 .* has no seed"),
        (lambda path: path.write_text(HEADER + "x,c,p,1e30,a,b,tie,r"), "seed '1e30'"),
        (lambda path: path.write_text(HEADER + "x,c,p," + "9" * 5000 + ",a,b,tie,r"), "seed '9"),
        (lambda path: path.write_text(HEADER + "x,c,p,0,a,a,tie,r"), "are both 'a'"),
        (lambda path: path.write_text(HEADER + "x,c," + "p" * (2**24 + 1)), "cannot be read"),
        (lambda path: path.write_text(""), "has no column 'criterion'"),
    ],
)
def test_a_file_that_holds_no_votes_is_one_line(spoil: Any, why: str, tmp_path: Path) -> None:
    spoil(tmp_path / "votes.csv")
    with pytest.raises(UsageError, match=why) as caught:
        agreement.read_votes(tmp_path / "votes.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-16", ","), ("utf-8-sig", ";"), ("utf-8", "\t")]
)
def test_votes_are_read_as_programs_write_them(
    encoding: str, delimiter: str, tmp_path: Path
) -> None:
    text = (HEADER + "presence,c,pä,0,a,b,left,ann").replace(",", delimiter)
    (tmp_path / "votes.csv").write_text(text, encoding=encoding)
    (vote,) = agreement.read_votes(tmp_path / "votes.csv")
    assert (vote.pairing, vote.value) == (("a", "b", "c", "pä", 0), 1.0)
