"""The record of a verification, a file beside the bundle that says what held for which bytes.

It is evidence for who trusts where it came from: anyone can write such a file.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from htbench.bundles.findings import Finding
from htbench.core import content, reading
from htbench.core.errors import Refused, UsageError

_MAX_BYTES = 1 << 22
_Line = Annotated[str, Field(max_length=2000)]


class RecordedFinding(BaseModel):
    """A finding as `htbench verify` printed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["holds", "differs", "unchecked"]
    what: _Line


class VerificationRecord(BaseModel):
    """The findings of `htbench verify` on a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["htbench-verification"] = "htbench-verification"
    version: Literal[1] = 1
    htbench: Annotated[str, Field(max_length=100)]
    """Version of htbench that verified."""
    bundle: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 digest of the bundle's file."""
    seed: int
    """Seed of the draw of pictures that were made again."""
    again: Annotated[int, Field(ge=0)]
    """Number of pictures that were drawn."""
    findings: Annotated[tuple[RecordedFinding, ...], Field(min_length=1)]

    def count(self, kind: str) -> int:
        """Number of findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


def path_of(bundle: Path) -> Path:
    """The file of the record of a bundle's verification."""
    return bundle.with_name(f"{bundle.name}.verification.json")


def write(bundle: Path, findings: Sequence[Finding], *, sha256: str, seed: int, again: int) -> Path:
    """Write the record of a verification beside the bundle, and return its path.

    `sha256` is the digest of the bundle's bytes, taken before they were verified.

    Raises:
        UsageError: if it cannot be written.
    """
    record = VerificationRecord(
        htbench=version("htbench"),
        bundle=sha256,
        seed=seed,
        again=again,
        findings=tuple(RecordedFinding(kind=each.kind, what=each.what[:2000]) for each in findings),
    )
    path = path_of(bundle)
    try:
        content.write_whole(path, record.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {str(path)[:300]!r}: {error.strerror}") from None
    return path


def read(bundle: Path, *, sha256: str) -> VerificationRecord:
    """The record beside a bundle whose bytes have the digest `sha256`.

    Raises:
        UsageError: if there is none, or the file is no such record.
        Refused: if it is the record of other bytes.
    """
    path = path_of(bundle)
    reading.read_bytes(path, noun="verification", most=_MAX_BYTES)
    record = reading.read_record(path, VerificationRecord, noun="verification")
    if record.bundle != sha256:
        raise Refused(
            f"verification {str(path)[:300]!r} is of another bundle, "
            f"whose digest is {record.bundle[:12]}…",
            remedy="Verify this one: htbench verify BUNDLE --record",
        )
    return record
