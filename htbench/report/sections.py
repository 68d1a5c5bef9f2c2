"""What the sections of the page hold, by the names that the templates know them by."""

from collections.abc import Mapping

from htbench.leaderboard import Summary
from htbench.report import claims, commands, coverage, headline, judged, novelty, people, provenance, strength
from htbench.report.roles import roles


def collect(summary: Summary, tones: Mapping[str, int]) -> dict[str, object]:
    """Everything but what the page is framed by."""
    who = roles(summary, claims.stated()["paper"])
    judges, persons, strengths, new = judged.collect(summary), people.collect(summary), strength.collect(summary), novelty.collect(summary, who)
    return {
        "places": summary.places,
        "circular": [line.method for line in summary.leaderboard if line.circular],
        "verdict": headline.verdict(summary),
        "claims": claims.collect(summary, who, judged=judges, people=persons, strength=strengths, novelty=new),
        "judged": judges,
        "people": persons,
        "strength": strengths,
        "novelty": new,
        "modal": strength.modal(summary, who),
        "coverage": coverage.collect(summary),
        "parts": provenance.parts(summary),
        "citations": provenance.citations(summary),
        "judging": commands.of_run(summary, "judge"),
        "asking": commands.of_run(summary, "study export"),
        "finer": commands.with_strengths(summary, 0, 0.25, 0.5, 0.75, 1),
    }
