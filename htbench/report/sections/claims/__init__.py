"""Each claim of the paper beside the results of this run.

The rules are stated in `reports/claims`; the evidence is the store, the ledger and studies alone.
"""

from htbench.report.sections.claims.section import (
    Claim,
    ClaimsSection,
    collect,
    from_summary,
    load_claims,
    print_lines,
    show,
)

__all__ = [
    "Claim",
    "ClaimsSection",
    "collect",
    "from_summary",
    "load_claims",
    "print_lines",
    "show",
]
