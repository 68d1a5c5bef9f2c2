"""What the sections of the page hold, by the names that the templates know them by."""

from collections.abc import Mapping

from htbench.leaderboard import Summary
from htbench.report import headline


def collect(summary: Summary, tones: Mapping[str, int]) -> dict[str, object]:
    """Everything but what the page is framed by."""
    return {
        "places": summary.places,
        "circular": [line.method for line in summary.leaderboard if line.circular],
        "verdict": headline.verdict(summary),
    }
