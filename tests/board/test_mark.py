"""Marks: never more than the evidence beside a bundle says of its bytes."""

import json
import subprocess
from pathlib import Path

import pytest

from htbench.board.mark import Mark, read_mark
from htbench.bundles import signature, verification_record
from htbench.bundles.findings import differs, holds, unchecked

BYTES = b"a bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "mine.zip"
    path.write_bytes(BYTES)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(make, check=True)
    return path


def mark(bundle: Path, *, sha256: str = "1" * 64, signers: Path | None = None) -> Mark:
    return read_mark(bundle, sha256=sha256, signers=signers)


def test_a_bundle_alone_is_not_verified(bundle: Path) -> None:
    assert mark(bundle) == Mark()
    assert mark(bundle).verdict == "none"


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([holds("a"), unchecked("b")], "holds"),
        ([holds("a"), differs("b")], "differs"),
        ([unchecked("a")], "none"),
    ],
)
def test_a_verification_is_told_as_it_ended(bundle: Path, findings: list, verdict: str) -> None:
    verification_record.write(bundle, findings, sha256="1" * 64, seed=1, again=2)
    own = mark(bundle)
    assert own.verdict == verdict
    assert own.record
    assert [each.what for each in own.record.findings] == [each.what for each in findings]


def test_a_verification_of_other_bytes_counts_as_none(bundle: Path) -> None:
    verification_record.write(bundle, [holds("a")], sha256="2" * 64, seed=1, again=2)
    assert mark(bundle).verdict == "none"
    assert "is of another bundle" in mark(bundle).problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"verdict": "holds"}',
        json.dumps(
            {"htbench": "1", "bundle": "1" * 64, "seed": 1, "again": 1, "findings": [], "x": 1}
        ),
    ],
)
def test_a_file_that_is_no_verification_counts_as_none(bundle: Path, text: str) -> None:
    verification_record.path_of(bundle).write_text(text)
    assert mark(bundle).verdict == "none"
    assert len(mark(bundle).problems) == 1
    assert "\n" not in mark(bundle).problems[0]


def test_a_signature_is_checked_against_the_bytes(bundle: Path, key: Path) -> None:
    signature.sign(bundle, key)
    assert "SHA256:" in mark(bundle).signer
    bundle.write_bytes(b"other")
    assert mark(bundle).signer == ""
    assert "is not what was signed" in mark(bundle).problems[0]


def test_a_trusted_signer_is_named_and_others_count_as_none(bundle: Path, key: Path) -> None:
    signature.sign(bundle, key)
    trusted = key.with_name("trusted")
    trusted.write_text(f"ann@example.org {key.with_suffix('.pub').read_text()}")
    assert mark(bundle, signers=trusted).signer == "ann@example.org"
    trusted.write_text("")
    assert mark(bundle, signers=trusted).signer == ""
    assert len(mark(bundle, signers=trusted).problems) == 1


def test_a_signature_is_no_verification(bundle: Path, key: Path) -> None:
    signature.sign(bundle, key)
    assert mark(bundle).verdict == "none"
