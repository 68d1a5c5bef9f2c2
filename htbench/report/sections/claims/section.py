"""The section on claims: every claim with its verdict, for the page, the terminal and JSON."""

import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from htbench.core import content
from htbench.core.display import print_json, printable, stdout_console
from htbench.report.once import once
from htbench.report.roles import Roles, find_roles
from htbench.report.sections import judges, novelty, people
from htbench.report.sections.claims.match import check_match
from htbench.report.sections.claims.pictures import check_pictures
from htbench.report.sections.claims.preference import check_judges, check_people
from htbench.report.sections.claims.speed import check_speed
from htbench.report.sections.claims.strength import check_strength
from htbench.report.sections.claims.verdict import (
    MEANING,
    Evidence,
    RuleResult,
    Verdict,
    not_tested,
)
from htbench.report.sections.claims.wording import check_wording
from htbench.report.sections.judges import JudgesSection
from htbench.report.sections.novelty import Novelty
from htbench.report.sections.people import People
from htbench.run.summary import Summary

RULES: dict[str, Callable[[Evidence], RuleResult]] = {
    "speed": check_speed,
    "match": check_match,
    "judges": check_judges,
    "people": check_people,
    "strength": check_strength,
    "pictures": check_pictures,
    "wording": check_wording,
}
"""The functions that apply the rules, by the names that `reports/claims` gives them."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper and the verdict of this run."""

    name: str
    """The name of its rule."""
    claim: str
    conditions: str
    """Conditions of the paper's own test."""
    rule: str
    """The rule that decides."""
    verdict: Verdict
    reason: str
    """The numbers that decided."""
    findings: list[str]
    command: str
    """Command that tests the claim, or tests it better; empty where this run does."""
    beside: str = ""
    """Figure of this run beside the paper's, in place of a verdict, for a claim on other models."""


@dataclass(frozen=True, kw_only=True)
class ClaimsSection:
    """The section on claims."""

    paper: str
    """Its address."""
    name: str
    claims: list[Claim]

    @property
    def tests_any(self) -> bool:
        """True if the run tests any of the claims."""
        return any(claim.verdict != "not tested" for claim in self.claims)

    @property
    def counts(self) -> str:
        """Numbers of claims by verdict, such as `2 supported, 4 not tested`."""
        numbers = Counter(claim.verdict for claim in self.claims)
        return ", ".join(f"{numbers[each]} {each}" for each in MEANING if numbers[each])

    @property
    def meanings(self) -> dict[Verdict, str]:
        """The verdicts that occur, with their meaning."""
        verdicts = {claim.verdict for claim in self.claims}
        return {verdict: text for verdict, text in MEANING.items() if verdict in verdicts}


def load_claims() -> dict[str, Any]:
    """The claims of the paper and the rules that test them."""
    return tomllib.loads(
        (content.folder("reports") / "claims" / "hypertransport.toml").read_text(encoding="utf-8")
    )


def collect(
    summary: Summary,
    roles: Roles,
    *,
    judged: JudgesSection,
    people: People,
    novelty: Sequence[Novelty],
) -> ClaimsSection:
    """Test every claim of the paper."""
    paper = load_claims()
    claims = []
    for name, check in RULES.items():
        if name == "wording" and len(summary.facts.plan.wording) == 1:
            continue  # no claim of the paper, and beside the point of a run in canonical words
        stated = paper[name]
        texts = {part: str(stated[part]) for part in ("claim", "conditions", "rule")}
        numbers = {part: each for part, each in stated.items() if isinstance(each, int | float)}
        evidence = Evidence(
            summary=summary,
            roles=roles,
            judged=judged,
            people=people,
            novelty=novelty,
            numbers=numbers,
            models=stated.get("models", ()),
            reports=stated.get("reports", ""),
        )
        result = check(evidence) if evidence.paper_method else _absent(paper["name"])
        claims.append(
            Claim(
                name=name,
                claim=texts["claim"],
                conditions=texts["conditions"],
                rule=texts["rule"].format(**numbers),
                verdict=result.verdict,
                reason=result.reason,
                findings=list(result.findings),
                command=result.command,
                beside=result.beside,
            )
        )
    return ClaimsSection(paper=paper["paper"], name=paper["name"], claims=claims)


@once
def from_summary(summary: Summary) -> ClaimsSection:
    """The section of a run, from its folder alone."""
    roles = find_roles(summary, load_claims()["paper"])
    return collect(
        summary,
        roles,
        judged=once(judges.collect)(summary),
        people=once(people.collect)(summary),
        novelty=novelty.collect(summary, roles),
    )


def show(section: ClaimsSection) -> None:
    """Print the verdicts to stdout; nothing where no claim is tested."""
    if not section.tests_any:
        return
    title = f"Claims of {section.name}; the report has the numbers that decided"
    table = Table(title=Text(printable(title)), title_justify="left", show_edge=False)
    for column in ("Claim", "Verdict"):
        table.add_column(column)
    for claim in section.claims:
        table.add_row(Text(claim.claim), claim.verdict)
    stdout_console().print(table)


def print_lines(section: ClaimsSection) -> None:
    """Print the claims as lines of JSON; nothing where no claim is tested."""
    for claim in section.claims if section.tests_any else ():
        print_json(event="claim", **asdict(claim))


def _absent(name: str) -> RuleResult:
    return not_tested(f"No method of {name} is in this run.", command="htbench run quickstart")
