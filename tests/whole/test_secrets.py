"""Ten secrets in ten places: none in any byte that is written or shown."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run, report_run, study_exports
from kit.judge_servers import Ask, Endpoint, completion, serving

SECRETS = {
    "key": "sk-PlantedKey0123456789",
    "address": "PlantedPasswordOfTheAddress",
    "query": "PlantedTokenOfTheQuery",
    "card": "PlantedPasswordOfTheCard",
    "hub": "hf_PlantedTokenOfTheHub",
    "proxy": "PlantedPasswordOfTheProxy",
    "variable": "PlantedPasswordOfAVariable",
    "weights": "PlantedPasswordOfTheWeights",
    "post": "PlantedPasswordOfThePost",
    "pseudonyms": "PlantedSecretOfThePseudonyms0123456789",
}


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TEST_JUDGE_KEY": SECRETS["key"] + "\r\n",
        "HF_TOKEN": SECRETS["hub"],
        "ALL_PROXY": f"http://me:{SECRETS['proxy']}@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "SERVICE_PASSWORD": SECRETS["variable"],
        "HOME": str(tmp_path / "home"),
    }


def shown(environment: Mapping[str, str], *words: str) -> str:
    """All that a command shows."""
    ended = subprocess.run(
        [sys.executable, "-m", "htbench", *words],
        capture_output=True,
        text=True,
        check=False,
        env=dict(environment),
        timeout=120,
    )
    assert ended.returncode in (0, 2, 3, 4, 5), ended.stderr
    return ended.stdout + ended.stderr


def refuse_secrets(folder: Path, text: str, *, besides: tuple[str, ...] = ()) -> None:
    """Fail if any secret is in `text` or in a file below `folder`, but for the files `besides`."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in besides]
    written = {str(path): path.read_bytes() for path in files}
    for name, secret in SECRETS.items():
        assert secret not in text, name
        assert not [path for path, data in written.items() if secret.encode() in data], name


def telltale(number: int, ask: Ask) -> tuple[int, dict[str, str], Any] | None:
    """A server that repeats what it was sent: in its third reply, and in errors from the sixth."""
    everything = " ".join(SECRETS[name] for name in ("key", "address", "query"))
    if number == 3:
        return 200, {}, completion({"content": f'{{"verdict": "A", "reason": "{everything}"}}'})
    if number >= 6:
        return 401, {}, {"error": {"message": f"Incorrect API key provided: {everything}"}}
    return None


def test_a_judge_and_its_server_leave_no_secret(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    runs = tmp_path / "runs"
    judged_run.build(runs / "run", methods=("none", "poor", "good"), concepts=4)
    with serving(Endpoint(ill=telltale)) as endpoint:
        plain = endpoint.url.removeprefix("http://")
        address = f"http://me:{SECRETS['address']}@{plain}?api-key={SECRETS['query']}"
        judged_run.card(tmp_path / "judge", endpoint.url)
        words = ["judge", "run", "--runs-dir", str(runs), "--judge", str(tmp_path / "judge"), "-v"]
        surroundings["TEST_JUDGE_URL"] = address
        text = shown(surroundings, *words) + shown(surroundings, *words, "--json")
        assert endpoint.calls > 6
    text += shown(surroundings, *words, "--offline")
    text += shown(surroundings, "report", str(runs / "run"))
    assert "***" in text
    refuse_secrets(runs, text)


def test_a_server_that_is_not_there_is_named_without_a_secret(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=2)
    address = f"http://me:{SECRETS['card']}@127.0.0.1:9/v1?api-key={SECRETS['query']}"
    judged_run.card(tmp_path / "judge", address, retries=0)
    text = shown(
        surroundings,
        "judge",
        "run",
        "--runs-dir",
        str(tmp_path),
        "--judge",
        str(tmp_path / "judge"),
    )
    assert "127.0.0.1:9" in text
    refuse_secrets(tmp_path / "run", text)


def test_addresses_and_variables_of_a_run_leave_no_secret(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    weights = f"https://me:{SECRETS['weights']}@example.org/weights"
    runs = ["--runs-dir", str(tmp_path / "runs")]
    text = shown(surroundings, "run", "--model", "dmd2", "--weights", weights, *runs)
    text += shown({**surroundings, "HTBENCH_WEIGHTS": weights}, "run", "--print-plan", *runs)
    text += shown(surroundings, "doctor")
    refuse_secrets(tmp_path, text)


def test_a_study_leaves_no_secret(tmp_path: Path, surroundings: dict[str, str]) -> None:
    run = report_run.build(tmp_path / "run", methods=("none", "prompt"), concepts=3, size=8)
    (tmp_path / "own.secret").write_text(SECRETS["pseudonyms"])
    study_exports.key().write(tmp_path / "key.csv")
    (tmp_path / "votes.csv").write_bytes(study_exports.htbench()[0])
    own = ["--study", str(tmp_path / "study")]
    post = f"https://me:{SECRETS['post']}@example.org/votes"
    export = ["study", "export", str(run), *own, "--pairs", "4"]
    text = shown(surroundings, *export, "--post", post)
    assert "everybody could read it in the page" in text
    text += shown(surroundings, *export)
    text += shown(
        surroundings, "study", "import", str(tmp_path / "votes.csv"), *own,
        "--secret", str(tmp_path / "own.secret"), "--key", str(tmp_path / "key.csv"),
    )  # fmt: skip
    text += shown(surroundings, "study", "report", *own)
    refuse_secrets(tmp_path, text, besides=("own.secret",))
