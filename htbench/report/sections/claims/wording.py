"""The claim that the paper's method is robust to wording, beside prompting in the same words."""

from htbench.report import commands
from htbench.report.sections import wording as wording_section
from htbench.report.sections.claims.verdict import (
    Evidence,
    RuleResult,
    Target,
    circular,
    estimate_text,
    not_tested,
    preservation,
    too_few,
)
from htbench.report.sections.wording import WordingRow, WordingSection

_METRIC = "presence"


def check_wording(evidence: Evidence) -> RuleResult:
    """Presence given synonyms, less that of prompting with the same synonyms."""
    summary, own, prompting = evidence.summary, evidence.rankable_method, evidence.roles.prompt
    section = wording_section.collect(summary)
    if missing := _missing(evidence):
        return missing
    if not (section and own and prompting):
        return not_tested("Nothing is scored with synonyms yet.")
    found = wording_section.difference(summary, section, (own, prompting), "synonym", _METRIC)
    if found is None:
        return not_tested(f"{own} and {prompting} share no scored cell with synonyms.")
    target = Target(least=evidence.numbers["margin"])
    verdict = target.verdict(found)
    if verdict == "not tested":
        return too_few(found)
    at = {name: section.row(name, "synonym").strength for name in (own, prompting)}
    return RuleResult(
        verdict=verdict,
        reason=f"Given synonyms, {own} has a presence "
        f"{_level(section.row(own, 'synonym'))} and {prompting} one "
        f"{_level(section.row(prompting, 'synonym'))}. The difference is "
        f"{estimate_text(found, signed=True)} over {found.n:,} concepts, "
        f"{target.position(found)}.",
        findings=[
            *(_change(section, name) for name in (own, prompting)),
            *_beside_unknown(evidence, section, (own, prompting)),
            *preservation(summary, at),
            by_construction(summary.facts.model.name),
        ],
    )


def _missing(evidence: Evidence) -> RuleResult | None:
    """The outcome where the run lacks what the rule needs; None where it has that."""
    summary = evidence.summary
    cells = summary.wording_cells.get("synonym")
    reason = command = ""
    if "synonym" not in summary.facts.plan.wording:
        reason = "No concept of this run was said in synonyms."
        command = commands.with_wordings(summary, "synonym")
    elif evidence.rankable_method is None:
        return circular(evidence)
    elif evidence.roles.prompt is None:
        reason = "No method of this run is prompting."
        command = commands.with_methods(summary, "prompt")
    elif cells and (left := cells.planned - cells.done - cells.failed):
        reason = f"{left:,} of {cells.planned:,} cells with synonyms have no scores yet."
    return not_tested(reason, command=command) if reason else None


def by_construction(model: str) -> str:
    """A sentence on the parts of the result that follow from the making of the model."""
    if model == "emoji":
        return (
            "by construction of the embedded world, and no finding: the generator never learns the "
            "synonyms of the world’s own concept set, so prompting with them cannot work, and the "
            "encoder that reads concepts does learn them. A finding is how much of the concept "
            "comes through steering that read a synonym"
        )
    return (
        "it is not known which synonyms this generator and this encoder have learnt, so nothing "
        "here is so by construction"
    )


def _level(row: WordingRow) -> str:
    own = row.scores[_METRIC]
    return f"of {estimate_text(own.score)}" if own else "that is not known"


def _change(section: WordingSection, method: str) -> str:
    own = section.row(method, "synonym").scores[_METRIC]
    change = own.change if own else None
    text = estimate_text(change, signed=True) if change else "not known"
    return f"{method} with synonyms minus {method} with canonical words: {text}"


def _beside_unknown(
    evidence: Evidence, section: WordingSection, pair: tuple[str, str]
) -> list[str]:
    """The same difference with words that nothing was trained on, without a test."""
    found = wording_section.difference(evidence.summary, section, pair, "unknown", _METRIC)
    if found is None:
        return []
    return [f"with unknown words, {pair[0]} minus {pair[1]}: {estimate_text(found, signed=True)}"]
