"""The report: what a run found as one HTML file that needs no network, from its store alone."""

from htbench.report.output import (
    open_run,
    render_live,
    write,
    write_folder,
    write_summary,
    write_summary_folder,
)

__all__ = [
    "open_run",
    "render_live",
    "write",
    "write_folder",
    "write_summary",
    "write_summary_folder",
]
