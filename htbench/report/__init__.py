"""The report: what a run found as one HTML file that needs no network, from its store alone."""

from htbench.report.page import write

__all__ = ["write"]
