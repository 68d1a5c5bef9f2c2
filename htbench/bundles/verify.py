"""Verification of a bundle: digests, records, scores, tables, and a sample of pictures.

A digest proves that nothing was changed by who does not also change the manifest. So all that
follows from something else is made anew: scores from pictures, tables from scores, a sample of
pictures from the model.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from htbench.bundles import records, remake, rescore, signature, unpack
from htbench.bundles.archive import LEADERBOARD, Archive
from htbench.bundles.findings import Finding, differs, each_differs, holds, unchecked
from htbench.bundles.pack import leaderboard, parts
from htbench.bundles.records import Part
from htbench.bundles.remake import RemakeOptions
from htbench.bundles.set_scores import rescore_sets
from htbench.core.display import Display
from htbench.core.errors import HtbenchError, Missing
from htbench.judging.ledger import LEDGER_FILE
from htbench.run import study_result, wording_runs
from htbench.run.concept_source import OWN_SET
from htbench.run.fact_table import Facts
from htbench.run.store import Store

_TUNING = "tuning"
_TABLES = {
    "sessions": "commands and environments",
    "facts": "plan, concepts and methods",
    "cells": "the planned cells",
    "images": "names and times of images",
    "failures": "failed images",
    "scores": "scores",
    "timings": "times",
    "samples": "times of htbench time",
    "calls": "replies of judges",
    "verdicts": "verdicts of judges",
    "matches": "pairs that judges compare",
}
"""The content of tables, by name."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Settings of a verification."""

    again: RemakeOptions = field(default_factory=RemakeOptions)
    concept_set: str | None = None
    """The concept set of a run whose set is not shipped."""
    signers: Path | None = None
    """A file of those whose signature is accepted."""


def verify(
    bundle: Path, options: VerifyOptions | None = None, *, display: Display | None = None
) -> Iterator[Finding]:
    """The findings on a bundle, each as soon as it is known.

    Where an entry does not have its digest, nothing else is checked.

    Raises:
        UsageError: if it is no bundle.
        Refused: if it has what no bundle has, or is not the bundle of a run.
    """
    options, display = options or VerifyOptions(), display or Display()
    with Archive.open(bundle) as archive:
        yield from _check_signature(bundle, options.signers)
        if changed := archive.changed():
            yield from each_differs(
                [
                    f"{_titled(name)} is not what was packed: it has another digest"
                    for name in changed
                ],
                "files",
            )
            return
        yield holds(f"{len(archive.names):,} files have their digests")
        with tempfile.TemporaryDirectory(prefix="htbench-") as temporary:
            run = Path(temporary) / "run"
            unpack.write(archive, run)
            yield from _check_table(run, archive.manifest.htbench)
            yield from _check_run(run, archive.manifest.pictures, options, display)


def _titled(name: str) -> str:
    """The name of an entry, with what a table holds."""
    title = _TABLES.get(name.rpartition("/")[2].removesuffix(".jsonl"))
    return f"{name} ({title})" if title else name


def _check_table(run: Path, packed_by: str) -> Iterator[Finding]:
    """Compare `leaderboard.csv`; that of another version of htbench may have other columns."""
    findings = list(rescore.check_table((run / LEADERBOARD).read_bytes(), leaderboard(run)))
    if packed_by != version("htbench") and any(each.kind == "differs" for each in findings):
        yield unchecked(f"leaderboard.csv: htbench {packed_by[:40]} made it")
    else:
        yield from findings


def _check_run(
    run: Path, has_pictures: bool, options: VerifyOptions, display: Display
) -> Iterator[Finding]:
    every, finding = _parts(run, options.concept_set)
    yield finding
    for part in every:
        yield from records.checks(part)
    tuning = next((part for part in every if part.folder.name == _TUNING), None)
    if tuning or every[0].facts.tuned or every[0].facts.strength_scales:
        yield from _check_tuned(every[0], tuning)
    yield from _recorded(run, every)
    if not has_pictures:
        yield unchecked("scores and pictures: the bundle has no pictures")
        return
    basis = [
        finding
        for part in every
        for check in (records.check_cell_concepts, records.check_pictures)
        for finding in check(part)
    ]
    yield from basis
    if any(finding.kind == "differs" for finding in basis):
        return
    scorers: Sequence[str] = ()
    if every[0].concept_set is None:
        yield unchecked("scores: the concept set of the run is not here")
    else:
        given = options.concept_set
        if given is None and every[0].facts.plan.concept_set == OWN_SET:
            given = str(run / OWN_SET)
        if given:
            every = [_with_set(part, given) for part in every]
        rescored = rescore.rescore(every, device=options.again.device, display=display)
        yield from rescored.findings
        scorers = rescored.scorers
        yield from rescore_sets(every, device=options.again.device, display=display)
    for part in every:
        if number := sum(len(each.rows) for each in part.facts.activation_scores):
            yield unchecked(f"{number:,} scores of activations: they are not made anew")
    if options.again.number:
        yield from remake.remake(every, options.again, scorers=scorers, display=display)


def _check_tuned(part: Part, tuning: Part | None) -> Iterator[Finding]:
    if tuning is None:
        yield differs("the run on dev concepts, by which strengths were chosen, is not there")
        return
    try:
        if part.plan.tune_strength or part.facts.tuned:
            yield from records.check_tuned(part, tuning)
        if part.plan.is_perceptual or part.facts.strength_scales:
            yield from records.check_scales(part, tuning)
    except HtbenchError as error:
        yield differs(f"strengths cannot be chosen again: {error}")


def _parts(run: Path, given: str | None) -> tuple[list[Part], Finding]:
    """The runs of a bundle, with their concept set, and the finding on that."""
    facts = _facts(run)
    concept_set, finding = records.find_concept_set(facts, given, run=run)
    every = []
    for place in parts(run):
        own = _facts(run / place)
        every.append(
            Part(
                folder=run / place,
                title=_title(place),
                facts=own,
                concept_set=concept_set if own.concept_set == facts.concept_set else None,
            )
        )
    return every, finding


def _facts(folder: Path) -> Facts:
    with Store.read(folder) as store:
        return Facts.read(store)


def _title(place: Path) -> str:
    if place == Path():
        return ""
    if place.parent.name == wording_runs.FOLDER:
        return f"wording {place.name}: "
    return "on dev concepts: " if place.name == _TUNING else f"fit seed {place.name}: "


def _with_set(part: Part, concept_set: str) -> Part:
    """The part with the concept set that was given in place of the one that its plan names."""
    path = str(Path(concept_set).absolute()) if Path(concept_set).exists() else concept_set
    with Store.open(part.folder) as store:
        store.set_facts(plan={**part.facts.plan.stored, "concept_set": path})
    return replace(part, facts=_facts(part.folder))


def _check_signature(bundle: Path, signers: Path | None) -> Iterator[Finding]:
    if not os.path.lexists(signature.path_of(bundle)):
        if signers:
            yield differs(f"there is no signature {signature.path_of(bundle).name}")
        else:
            yield unchecked("who packed it: it is not signed")
        return
    try:
        yield holds(f"signed by {signature.check(bundle, signers)}")
    except Missing as error:
        yield unchecked(f"signature: {error}")
    except HtbenchError as error:
        yield differs(str(error))


def _recorded(run: Path, every: Sequence[Part]) -> Iterator[Finding]:
    """The findings on what was recorded once and follows from nothing else."""
    number = 0
    for part in every:
        with Store.read(part.folder) as store:
            ((timings,),) = store.select("SELECT count(*) FROM timings")
            ((samples,),) = store.select("SELECT count(*) FROM samples")
            number += timings + samples
    yield unchecked(f"{number:,} times, commands and environments: they are what was recorded")
    against = every[0].facts.against
    if against.methods:
        yield unchecked(
            f"rows of {', '.join(against.methods)[:200]}: they are said to be those of bundle "
            f"{against.bundle[:80]!r}, SHA-256 {against.sha256[:64]}; compare with htbench diff"
        )
    if (run / LEDGER_FILE).is_file():
        yield unchecked("replies of judges: ask them again with htbench judge")
    if (run / study_result.FOLDER).is_dir():
        yield unchecked("results of studies: the answers of people are not in a bundle")
