"""Spare links: somebody takes the place of a participant who dropped out, and one counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import served_study
from kit.served_study import answers, ask, post

from htbench.study.collect import withdrawal
from htbench.study.collect.sessions import SessionFiles, Visit
from htbench.study.serve.links import SheetLink
from htbench.study.serve.server import StudyServer

LONG_AGO = "2026-01-02T03:04:05.000Z"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return served_study.build(tmp_path)


@pytest.fixture
def server(study: Path) -> Iterator[StudyServer]:
    with served_study.serving(study) as server:
        yield server


def link(server: StudyServer, number: int, sheet: int = 1) -> str:
    return server.site.links.path(SheetLink(sheet, number))


def stay_away(study: Path, sheet: int = 1) -> None:
    """Let the last sign of the participant of a sheet be of long ago."""
    SessionFiles(study).update(
        sheet,
        lambda session: session.model_copy(
            update={
                "saved": LONG_AGO if session.saved else "",
                "visits": tuple(Visit(id=each.id, time=LONG_AGO) for each in session.visits),
            }
        ),
    )


def drop_out(server: StudyServer, study: Path, *, rater: str = "person-one") -> None:
    post(server.server_port, link(server, 0), answers(study, 1, [1, 2]), rater=rater)
    stay_away(study)


def raters(study: Path) -> list[str]:
    return [session.rater for _, session in SessionFiles(study).all()]


def test_a_spare_link_is_offered_once_a_participant_is_overdue(
    server: StudyServer, study: Path
) -> None:
    post(server.server_port, link(server, 0), answers(study, 1, [1]))
    assert server.site.overview("").participants[0].spare == ""
    stay_away(study)
    first, second, *_ = server.site.overview("").participants
    assert (first.state, first.spare, second.spare) == ("overdue", link(server, 1), "")
    text = ask(server.server_port, f"/{server.site.links.researcher}").body.decode()
    assert link(server, 1) in text
    assert "1 overdue" in text


def test_a_finished_participant_is_never_overdue(server: StudyServer, study: Path) -> None:
    post(server.server_port, link(server, 0), answers(study, 1))
    stay_away(study)
    assert server.site.overview("").participants[0].state == "finished"
    assert ask(server.server_port, f"/{link(server, 1)}").status == 409


def test_who_begins_with_the_spare_link_takes_the_place_and_the_former_link_is_closed(
    server: StudyServer, study: Path
) -> None:
    drop_out(server, study)
    page = ask(server.server_port, f"/{link(server, 1)}")
    assert (page.status, b"person-one" in page.body) == (200, False)
    assert raters(study) == ["person-one"]  # a look takes no place
    taken = post(server.server_port, link(server, 1), answers(study, 1, [1]), rater="person-two")
    assert taken.json == {"rater": "person-two", "saved": {"1": 0}}
    late = post(server.server_port, link(server, 0), answers(study, 1, [3]), rater="person-one")
    assert (late.status, raters(study)) == (409, ["person-two"])
    assert ask(server.server_port, f"/{link(server, 0)}").status == 409


def test_what_the_former_participant_answered_is_kept_where_no_import_reads_it(
    server: StudyServer, study: Path
) -> None:
    drop_out(server, study)
    post(server.server_port, link(server, 1), rater="person-two")
    (former,) = SessionFiles(study).replaced()
    assert [each.position for each in former[1].answers] == [1, 2]
    assert former[0].parent != study / "collected"


def test_a_participant_who_comes_back_in_time_keeps_the_place(
    server: StudyServer, study: Path
) -> None:
    drop_out(server, study)
    post(server.server_port, link(server, 0), visit="f" * 16, rater="person-one")
    refused = post(server.server_port, link(server, 1), rater="person-two")
    assert (refused.status, raters(study)) == (409, ["person-one"])


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_spare_link_that_nobody_needs_leads_nowhere(server: StudyServer, number: int) -> None:
    assert ask(server.server_port, f"/{link(server, number)}").status == 409


def test_the_next_spare_link_follows_if_the_second_participant_drops_out_too(
    server: StudyServer, study: Path
) -> None:
    drop_out(server, study)
    post(server.server_port, link(server, 1), rater="person-two")
    stay_away(study)
    assert server.site.overview("").participants[0].spare == link(server, 2)
    assert post(server.server_port, link(server, 2), rater="person-three").status == 200
    assert post(server.server_port, link(server, 1), rater="person-two").status == 409


def test_forgetting_a_participant_who_was_replaced_removes_what_was_kept(
    server: StudyServer, study: Path
) -> None:
    drop_out(server, study)
    post(server.server_port, link(server, 1), rater="person-two")
    withdrawal.forget(study, "person-one", secret=study.with_name("secret"))
    everything = b"".join(path.read_bytes() for path in study.rglob("*") if path.is_file())
    assert b"person-one" not in everything
    assert raters(study) == ["person-two"]


def test_the_common_link_gives_the_sheet_of_an_overdue_participant_when_no_other_is_left(
    server: StudyServer, study: Path
) -> None:
    drop_out(server, study)
    sheets = server.site.links.sheets
    for sheet in range(2, sheets + 1):
        post(server.server_port, link(server, 0, sheet), rater=f"person-{sheet}-here")
    common = f"/{server.site.links.common}?rater="
    place = ask(server.server_port, f"{common}somebody-new").headers["Location"]
    assert link(server, 1) in place
    back = ask(server.server_port, f"{common}person-one").headers["Location"]
    assert link(server, 0) in back
