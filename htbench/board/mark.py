"""Marks of bundles: what a signature and a verification beside a bundle say of its bytes.

A mark never says more than that: a bundle without them is not verified, whatever it claims.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from htbench.bundles import signature, verification_record
from htbench.bundles.verification_record import VerificationRecord
from htbench.core.errors import HtbenchError


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The evidence beside a bundle."""

    record: VerificationRecord | None = None
    """The record of a verification of these bytes."""
    signer: str = ""
    """The signer of these bytes, whose signature was checked in this build; empty: not signed."""
    problems: tuple[str, ...] = field(default=())
    """Evidence that does not belong to these bytes or cannot be read, which counts as none."""

    @property
    def verdict(self) -> Literal["holds", "differs", "none"]:
        """The result that a verification recorded: `differs` if any finding does."""
        if self.record is None:
            return "none"
        if self.record.count("differs"):
            return "differs"
        return "holds" if self.record.count("holds") else "none"


def read_mark(bundle: Path, *, sha256: str, signers: Path | None) -> Mark:
    """The mark of a bundle whose bytes have the digest `sha256`.

    With a file of `signers` a signature by nobody in it counts as none.
    """
    problems, record, signer = [], None, ""
    if os.path.lexists(verification_record.path_of(bundle)):
        try:
            record = verification_record.read(bundle, sha256=sha256)
        except HtbenchError as error:
            problems.append(str(error))
    if os.path.lexists(signature.path_of(bundle)):
        try:
            signer = signature.check(bundle, signers)
        except HtbenchError as error:
            problems.append(str(error))
    return Mark(record=record, signer=signer.partition(";")[0], problems=tuple(problems))
