"""Ledgers that a hand edited, a disk damaged or an older version wrote: the rest is read."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, serving
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core.errors import HtbenchError
from htbench.judging.leaderboard import read_result
from htbench.judging.ledger import LEDGER_FILE, VERSION, Ledger


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run that was judged, with its judge's server up."""
    folder = judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    with serving(Endpoint()) as endpoint:
        judged_run.judged(folder, judged_run.card(tmp_path / "judge", endpoint.url))
        yield folder


def edit(run: Path, *statements: str) -> None:
    with closing(sqlite3.connect(run / LEDGER_FILE)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def about(run: Path, path: str, value: Any) -> None:
    """Set a field of the tournament's metadata."""
    with closing(sqlite3.connect(run / LEDGER_FILE)) as database:
        ((text,),) = database.execute("SELECT about FROM tournaments").fetchall()
        fields = json.loads(text)
        part = fields
        *parents, last = path.split(".")
        for name in parents:
            part = part[name]
        if value is None:
            del part[last]
        else:
            part[last] = value
        database.execute("UPDATE tournaments SET about = ?", (json.dumps(fields),))
        database.commit()


def show(run: Path) -> Any:
    words = ["judge", "run", "--judge", str(run.parent / "judge"), "--runs-dir", str(run.parent)]
    options = ["--criterion", "presence", "--controls", "0"]
    runner = CliRunner()
    try:
        return runner.invoke(app, [*words, *options, "--offline"], catch_exceptions=False)
    except HtbenchError as error:
        return error


@pytest.mark.parametrize(
    "damage",
    [
        "control = 'unknown'",
        "criterion = 'unknown'",
        "one = 'unknown'",
        "two = 'unknown'",
        "one = ''",
        "seed = -9223372036854775808, concept = 'unknown', one = 'x'",
    ],
)
def test_a_damaged_match_is_named_and_the_rest_is_read(
    damage: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(run, f"UPDATE matches SET {damage} WHERE place = 1")
    with Ledger.read(run) as ledger:
        (id_,) = ledger.tournaments()
        result = read_result(ledger, id_, rounds=10)
    assert sum(result.criteria[0].match_outcomes.values()) == 3
    assert "damaged and left out: match of tournament" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        "outcome = 'perhaps'",
        "choice = 'C'",
        "choice = ''",
        "first = 7.0",
        "first = -1e300",
        "first = 9e999",
        "covered = 3.0",
    ],
)
def test_a_damaged_verdict_is_named_and_the_rest_is_read(
    damage: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(run, f"UPDATE verdicts SET {damage} WHERE key = (SELECT min(key) FROM verdicts)")
    with Ledger.read(run) as ledger:
        (id_,) = ledger.tournaments()
        result = read_result(ledger, id_, rounds=10)
    assert sum(result.criteria[0].match_outcomes.values()) == 3
    assert "damaged and left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, value)
        for path in (
            "judge",
            "model",
            "label",
            "encoders",
            "circular",
            "design",
            "design.methods",
            "design.criteria",
            "design.seed",
            "design.strength",
            "design.shows",
        )
        for value in (None, 3.5, "x" * 5000)
        if not (path == "design.strength" and value == 3.5)
    ],
)
def test_damaged_metadata_of_a_tournament_are_named_and_no_bug(
    path: str, value: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about(run, path, value)
    with Ledger.read(run) as ledger:
        assert ledger.tournaments() == {}
    assert "damaged and left out: tournament" in capsys.readouterr().err
    assert isinstance(show(run), HtbenchError)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", "9" * 5000, "[" * 100_000])
def test_metadata_that_are_no_json_are_named(text: str, run: Path) -> None:
    with closing(sqlite3.connect(run / LEDGER_FILE)) as database:
        database.execute("UPDATE tournaments SET about = ?", (text,))
        database.commit()
    assert isinstance(show(run), HtbenchError)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"form": "loud"}', '{"without": 3}', '{"form": "strict", "x": 1}'],
)
def test_a_damaged_note_on_an_endpoint_is_found_out_again(text: str, run: Path) -> None:
    edit(run, f"UPDATE notes SET value = '{text}'", "DELETE FROM verdicts")
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(run.parent / "judge", endpoint.url)
        edit(run, f"UPDATE notes SET name = 'capability {endpoint.url} scripted'")
        assert judged_run.judged(run, card).pending == 0


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE matches SET place = 4611686018427387904 WHERE place = 2",
        "UPDATE matches SET place = -5 WHERE place = 2",
        "UPDATE matches SET round = 9223372036854775807 WHERE place = 2",
        "UPDATE calls SET asked = 9223372036854775807, replied = -9223372036854775807",
        "UPDATE calls SET requests = 9223372036854775807",
        "UPDATE matches SET concept = 'colour/unknown', forth = 'k' WHERE place = 2",
        "UPDATE matches SET first = '../run.sqlite', forth = 'k' WHERE place = 2",
        "UPDATE matches SET first = '/etc/passwd', forth = 'k' WHERE place = 2",
        "UPDATE matches SET prompt = '', forth = NULL WHERE place = 2",
    ],
)
def test_a_damaged_ledger_holds_no_command_up(damage: str, run: Path) -> None:
    edit(run, damage)
    show(run)
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(run.parent / "judge", endpoint.url)
        assert judged_run.judged(run, card).pending == 0


def _of_version_1(run: Path) -> None:
    edit(
        run,
        "ALTER TABLE calls DROP COLUMN requests",
        "ALTER TABLE batches DROP COLUMN asked",
        "ALTER TABLE batches DROP COLUMN replied",
        "PRAGMA user_version = 1",
    )


def test_a_ledger_of_version_1_is_read_as_it_is(run: Path) -> None:
    _of_version_1(run)
    with Ledger.read(run) as ledger:
        assert ledger.version == 1
        assert ledger.model_usage("scripted").requests == 8
        (id_,) = ledger.tournaments()
        assert read_result(ledger, id_, rounds=10).outcomes == {"answered": 8}


def test_a_ledger_of_version_1_is_brought_up_to_date_when_written_and_nothing_is_paid_again(
    run: Path,
) -> None:
    _of_version_1(run)
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(run.parent / "judge", endpoint.url)
        assert judged_run.judged(run, card).outcomes == {"answered": 8}
        assert endpoint.calls == 0
    with Ledger.read(run) as ledger:
        assert (ledger.version, ledger.model_usage("scripted").requests) == (VERSION, 8)
