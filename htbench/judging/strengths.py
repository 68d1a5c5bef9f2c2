"""The task `strength`: which of two strengths of one method shows the concept more strongly.

Pictures of one method, concept, prompt and seed are compared in both orders, as those of two
methods are in a tournament: with its rubrics, controls, ledger and limits. The result is, per
method, the psychometric curve that a study with people gives too. The unsteered picture is every
method's at strength 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from htbench.core.display import Display
from htbench.core.errors import Missing, UsageError
from htbench.core.types import UNSTEERED, label_of, method_and_strength
from htbench.judging import audit as audits
from htbench.judging import pairs as pairing
from htbench.judging.audit import JudgeAudit
from htbench.judging.calibration import CriterionCalibration, read_calibrations
from htbench.judging.card import JudgeCard
from htbench.judging.judge import Outcome
from htbench.judging.leaderboard import read_families
from htbench.judging.ledger import Ledger
from htbench.judging.matches import MatchResult
from htbench.judging.outcome import MatchOutcome, match_outcome
from htbench.judging.pairs import ComparablePictures
from htbench.judging.prepare import TournamentOptions, build_tournament
from htbench.judging.schedule import Design
from htbench.judging.tournament import Tournament
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats import noticeable
from htbench.stats.families import FamiliesByConcept
from htbench.stats.noticeable import MethodStrength, StrengthAnswer

CRITERION = "presence"
"""The criterion unless another is given: which picture shows the concept more clearly."""
_FOR_ONE: dict[MatchOutcome, float] = {"won": 1.0, "lost": 0.0, "tie": 0.5, "inconsistent": 0.5}


@dataclass(frozen=True, kw_only=True)
class StrengthDesign(Design):
    """The settings of comparisons of strengths; `methods` are of the form METHOD@STRENGTH."""

    strengths: bool = True
    """Tells these comparisons from tournaments in the ledger."""

    @property
    def method_pairs(self) -> list[tuple[str, str]]:
        """Pairs of two strengths of one method."""
        return [
            (one, two)
            for one, two in combinations(self.methods, 2)
            if method_and_strength(one)[0] == method_and_strength(two)[0]
        ]


@dataclass(frozen=True, kw_only=True)
class StrengthCriterion:
    """The precision with which a judge tells strengths apart by one criterion."""

    name: str
    methods: tuple[MethodStrength, ...]
    """A tie, or a contradiction of the two orders, is half an answer in the right order."""
    undecided: int
    """Number of those."""
    missing: int
    """Number of pairs without a verdict."""
    circular: tuple[str, ...]
    """Methods that read concepts with an encoder of the judge."""
    audit: JudgeAudit
    calibration: CriterionCalibration | None
    """The judge's accuracy on known pairs; None if it was asked none by this criterion."""

    @property
    def does_count(self) -> bool:
        """True if the judge passed its calibration and no flag is raised."""
        passed = self.calibration is not None and self.calibration.status == "passed"
        return passed and not self.audit.flags

    def facts(self) -> dict[str, object]:
        """The figures as a value for JSON."""
        return {
            "criterion": self.name,
            "methods": [_method_facts(each) for each in self.methods],
            "undecided": self.undecided,
            "missing": self.missing,
            "circular": list(self.circular),
            "audit": self.audit.facts(),
            "calibration": self.calibration.facts() if self.calibration else None,
            "counts": self.does_count,
        }


@dataclass(frozen=True, kw_only=True)
class StrengthResult:
    """The comparisons of strengths by one judge."""

    id: str
    metadata: dict[str, Any]
    criteria: tuple[StrengthCriterion, ...]
    calls: int
    pending: int
    outcomes: dict[Outcome, int]


def prepare_strengths(
    folder: Path, ledger: Ledger, card: JudgeCard, options: TournamentOptions, display: Display
) -> Tournament:
    """The comparisons of strengths, planned over the run's pictures; offline, as planned before.

    Raises:
        UnknownName: for an unknown criterion or method, with the nearest name.
        UsageError: if no method has two strengths, or a criterion does not name the concept.
        Missing: if the judge is offline and was never asked this.
    """
    with Store.read(folder) as store:
        pictures = find_strengths(store, options.methods)
        every = tuple(Summary(store).methods)
    criteria = options.criteria or (CRITERION,)
    for name in criteria:
        if not card.is_about_concept(name):
            raise UsageError(
                f"criterion {name!r} does not ask for the concept, of which a strength is",
                remedy="Leave --criterion out.",
            )
    own = replace(options, methods=every, criteria=criteria)
    built = build_tournament(folder, ledger, card, own, display)
    settings = {field.name: getattr(built.design, field.name) for field in fields(Design)}
    strongest = max(pictures.methods, key=lambda label: method_and_strength(label)[1])
    design = StrengthDesign(
        **{**settings, "methods": pictures.methods, "strength": None, "shows": strongest}
    )
    parts = {field.name: getattr(built, field.name) for field in fields(Tournament)}
    asked = Tournament(
        **{**parts, "design": design, "pictures": pictures, "activity": "compare strengths by"}
    )
    if not options.context.offline:
        asked.plan()
    elif asked.id not in ledger.strengths():
        raise Missing(
            f"judge {card.name!r} was not asked this in run {folder.name!r}",
            remedy="Give the options that it was asked with, or ask: no --offline.",
        )
    asked.warn_of_parsers()
    return asked


def find_strengths(store: Store, methods: Iterable[str] = ()) -> ComparablePictures:
    """The pictures of `methods`, or of all of the run, at every strength, by METHOD@STRENGTH.

    Raises:
        UnknownName: if the run has no such method.
        UsageError: if none of them has two strengths.
    """
    named = pairing.find_pictures(
        store, methods=methods, strength=Summary(store).full_strength, fewest=1
    )
    query = """SELECT method, strength, concept, prompt, seed, file FROM cells
               JOIN images ON key = image WHERE file IS NOT NULL ORDER BY place"""
    files: dict[pairing.ImageKey, str] = {}
    strengths: dict[str, set[float]] = {name: set() for name in named.methods}
    strengths.pop(UNSTEERED, None)
    for method, strength, concept, prompt, seed, file in store.select(query):
        owners = strengths if method == UNSTEERED else [method] if method in strengths else []
        for owner in owners:
            strengths[owner].add(0.0 + strength)
            files[label_of(owner, 0.0 + strength), concept, prompt, seed] = file
    labels = tuple(
        label_of(method, strength)
        for method, own in strengths.items()
        if len(own) > 1
        for strength in sorted(own)
    )
    if not labels:
        raise UsageError(
            "no method of the run has pictures at two strengths",
            remedy="Run one at more of them: htbench run … --strength 0,0.5,1",
        )
    return replace(named, methods=labels, files=files, prompt_method="")


def read_strengths(ledger: Ledger, id_: str, *, rounds: int = 1000) -> StrengthResult:
    """The comparisons of strengths as they stand."""
    metadata = ledger.strengths()[id_]
    families = read_families(ledger)
    calibrations = read_calibrations(ledger, digest=metadata["digest"], model=metadata["model"])
    by_criterion: dict[str, list[MatchResult]] = defaultdict(list)
    for result in ledger.results(id_):
        by_criterion[result.match.criterion].append(result)
    calls, pending = ledger.count_calls(id_)
    return StrengthResult(
        id=id_,
        metadata=metadata,
        criteria=tuple(
            _criterion(
                name,
                by_criterion[name],
                tuple(metadata["circular"]),
                families,
                calibrations.get(name),
                rounds=rounds,
            )
            for name in metadata["design"]["criteria"]
            if name in by_criterion
        ),
        calls=calls,
        pending=pending,
        outcomes=ledger.outcomes(id_),
    )


def _criterion(
    name: str,
    results: Sequence[MatchResult],
    circular: tuple[str, ...],
    families: FamiliesByConcept,
    calibration: CriterionCalibration | None,
    *,
    rounds: int,
) -> StrengthCriterion:
    answers: dict[str, list[StrengthAnswer]] = defaultdict(list)
    outcomes = [(each, match_outcome(each)) for each in results if not each.match.control]
    for result, outcome in outcomes:
        if outcome == "missing":
            continue
        match, for_one = result.match, _FOR_ONE[outcome]
        (method, one), (_, two) = map(method_and_strength, (match.one, match.two))
        answers[method].append(
            StrengthAnswer(
                difference=abs(one - two),
                right=for_one if one > two else 1 - for_one,
                concept=match.concept,
            )
        )
    return StrengthCriterion(
        name=name,
        methods=tuple(
            noticeable.measure(method, own, families, rounds=rounds)
            for method, own in sorted(answers.items())
        ),
        undecided=sum(outcome in ("tie", "inconsistent") for _, outcome in outcomes),
        missing=sum(outcome == "missing" for _, outcome in outcomes),
        circular=circular,
        audit=audits.audit_judge(results, {}),
        calibration=calibration,
    )


def _method_facts(each: MethodStrength) -> dict[str, object]:
    return {
        "method": each.method,
        "noticeable": asdict(each.noticeable),
        "reach": each.reach,
        "right_order": each.order.facts(),
        "slope": each.curve.slope,
        "lapses": each.curve.lapses,
        "levels": [asdict(level) for level in each.levels],
    }
