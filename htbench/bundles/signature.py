"""Signatures of bundles by SSH keys: a file beside each, by `ssh-keygen -Y`."""

import shutil
import subprocess
from pathlib import Path

from htbench.core import reading
from htbench.core.errors import Missing, Refused, UsageError

_NAMESPACE = "htbench"
"""The purpose of a signature: one for another purpose is not accepted."""
_TOOL = "ssh-keygen"
_MAX_BYTES = 1 << 16


def path_of(bundle: Path) -> Path:
    """The file of a bundle's signature."""
    return bundle.with_name(f"{bundle.name}.sig")


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle by the private key in a file, and return the file of the signature.

    A key with a passphrase is asked for on the terminal, unless an agent has it.

    Raises:
        UsageError: if the key is not there, or cannot sign.
        Missing: if OpenSSH is not installed.
    """
    reading.find_file(key, noun="key")
    path = path_of(bundle)
    path.unlink(missing_ok=True)
    answer = _call("-Y", "sign", "-n", _NAMESPACE, "-f", str(key), str(bundle))
    if answer.returncode or not path.is_file():
        raise UsageError(
            f"key {str(key)[:300]!r} signs nothing: {_reason(answer)}",
            remedy="Give the private key: ssh-keygen -t ed25519 -f KEY makes one.",
        )
    return path


def check(bundle: Path, signers: Path | None) -> str:
    """The signer of a bundle, in words.

    Args:
        bundle: a bundle whose signature is beside it.
        signers: a file of those that are trusted, in the format ALLOWED SIGNERS of ssh-keygen;
            None: the signature is checked, and the name of its key is told.

    Raises:
        Refused: if the signature is not one of these bytes, or of none of the signers.
        Missing: if OpenSSH is not installed.
    """
    path = path_of(bundle)
    reading.read_bytes(path, noun="signature", most=_MAX_BYTES)
    common = ("-n", _NAMESPACE, "-s", str(path))
    if signers is None:
        answer = _call("-Y", "check-novalidate", *common, data=bundle)
        if answer.returncode:
            raise _refusal(bundle, answer)
        key = next((word for word in answer.stdout.split() if word.startswith("SHA256:")), "")
        return f"the key {key}; --signers FILE tells whose it is"
    reading.find_file(signers, noun="file of signers")
    who = _call("-Y", "find-principals", "-s", str(path), "-f", str(signers))
    name = who.stdout.strip().split("\n")[0]
    if who.returncode or not name:
        raise Refused(
            f"bundle {str(bundle)[:300]!r} is signed by nobody of {str(signers)[:300]!r}",
            remedy="Add the signer's public key to it, if you trust it: NAME KEY, one a line.",
        )
    answer = _call("-Y", "verify", "-f", str(signers), "-I", name, *common, data=bundle)
    if answer.returncode:
        raise _refusal(bundle, answer)
    return name


def _refusal(bundle: Path, answer: subprocess.CompletedProcess[str]) -> Refused:
    return Refused(
        f"bundle {str(bundle)[:300]!r} is not what was signed: {_reason(answer)}",
        remedy="Get the bundle and its signature anew from where they were published.",
    )


def _call(*words: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    tool = shutil.which(_TOOL)
    if tool is None:
        raise Missing(f"signatures need {_TOOL}, which is not installed", remedy="Install OpenSSH.")
    if data is None:
        return subprocess.run([tool, *words], check=False, capture_output=True, text=True)
    with data.open("rb") as file:
        return subprocess.run(
            [tool, *words], check=False, capture_output=True, text=True, stdin=file
        )


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    return " ".join((answer.stderr or answer.stdout).split())[:200]
