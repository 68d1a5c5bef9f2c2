"""The report: what a run found as one HTML file that needs no network, from its store alone."""

from htbench.report.output import live, opened, write, write_folder

__all__ = ["live", "opened", "write", "write_folder"]
