"""Signatures of bundles by SSH keys."""

import subprocess
from pathlib import Path

import pytest

from htbench.bundles import signature
from htbench.core.errors import Missing, Refused, UsageError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(make, check=True)
    return path


@pytest.fixture
def bundle(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "mine.zip"
    path.write_bytes(b"bundle")
    signature.sign(path, key)
    return path


def signers(key: Path) -> Path:
    path = key.with_name("signers")
    path.write_text(f"ann@example.org {key.with_suffix('.pub').read_text()}")
    return path


def test_the_signer_is_named(bundle: Path, key: Path) -> None:
    assert signature.check(bundle, signers(key)) == "ann@example.org"


def test_the_key_is_named_where_nobody_is_trusted(bundle: Path) -> None:
    assert "SHA256:" in signature.check(bundle, None)


@pytest.mark.parametrize("is_trusting", [True, False])
def test_changed_bytes_are_refused(bundle: Path, key: Path, is_trusting: bool) -> None:
    bundle.write_bytes(b"bundlf")
    with pytest.raises(Refused, match="not what was signed"):
        signature.check(bundle, signers(key) if is_trusting else None)


def test_a_signature_of_somebody_else_is_refused(bundle: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.write_text("bob@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n")
    with pytest.raises(Refused, match="by nobody of"):
        signature.check(bundle, others)


def test_a_signature_for_another_purpose_is_refused(bundle: Path, key: Path) -> None:
    signature.path_of(bundle).unlink()
    other = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(key), str(bundle)]
    subprocess.run(other, check=True, capture_output=True)
    with pytest.raises(Refused, match="not what was signed"):
        signature.check(bundle, signers(key))


def test_what_is_no_key_signs_nothing(bundle: Path) -> None:
    with pytest.raises(UsageError, match="signs nothing"):
        signature.sign(bundle, bundle)


def test_without_openssh_nothing_is_signed(
    bundle: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Missing, match="not installed"):
        signature.sign(bundle, key)
