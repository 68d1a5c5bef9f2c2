"""Writes a study's result into the folder of its run, for the run's report to show."""

import errno
import json
from collections.abc import Sequence
from pathlib import Path

from htbench.core import content
from htbench.core.content import digest, file_digest
from htbench.core.errors import Missing, no_space
from htbench.run.study_result import (
    FOLDER,
    VERSION,
    AgreementRecord,
    CriterionRecord,
    IntervalRecord,
    PairVotesRecord,
    PreferenceRecord,
    ShareRecord,
    StandingRecord,
    StepRecord,
    StudyRecord,
)
from htbench.stats.durations import Interval
from htbench.stats.ranking.leaderboard import LeaderboardEntry
from htbench.study import manifest
from htbench.study.analyse.agreement import collect_pair_votes
from htbench.study.analyse.result import CriterionResult, Preference, StudyResult
from htbench.study.answer import Answer
from htbench.study.collect import intake


def study_record(result: StudyResult, *, study: Path, rules_changed: bool) -> StudyRecord:
    """The result of the study in a folder, as a run keeps it and a report shows it."""
    return StudyRecord(
        version=VERSION,
        study=study.resolve().name,
        rules_changed=rules_changed,
        strength=manifest.read(study).strength,
        flow=[StepRecord.model_validate(step) for step in result.flow.steps],
        criteria=[_criterion(criterion, result) for criterion in result.criteria],
        question=result.task.criterion if result.task else "",
        tables=list(result.task.tables) if result.task else [],
        notes=list(result.task.notes) if result.task else [],
        noticed=list(result.task.noticed) if result.task else [],
    )


def write_to_run(result: StudyResult, run: Path, *, study: Path, rules_changed: bool) -> Path:
    """Write the result of the study in a folder into the folder of its run; gives the file's path.

    Raises:
        Missing: if the folder cannot be written.
    """
    record = study_record(result, study=study, rules_changed=rules_changed)
    path = run / FOLDER / file_name(study)
    unused = set() if result.task else {"question", "tables", "notes", "noticed"}
    facts = content.without_nan(record.model_dump(by_alias=True, exclude=unused))
    text = json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(exist_ok=True)
        content.write_whole(path, text)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from None
        raise Missing(
            f"cannot write to run {str(run)[:300]!r}: {error.strerror}",
            remedy="Leave the run out, or make its folder writable.",
        ) from None
    return path


def file_name(study: Path) -> str:
    """The name of the result's file: the study's, with a digest of its key, as namesakes differ."""
    name, key = study.resolve().name, study / intake.KEY_FILE
    safe = "".join(char if char.isalnum() or char in "-_" else "-" for char in name)[:80]
    return f"{safe or 'study'}-{(file_digest(key) if key.is_file() else digest(name))[:8]}.json"


def _criterion(criterion: CriterionResult, result: StudyResult) -> CriterionRecord:
    votes = [
        answer
        for answer in result.flow.kept
        if answer.kind == "vote" and answer.criterion == criterion.name
    ]
    ranking, reliability = criterion.ranking, criterion.reliability
    return CriterionRecord(
        name=criterion.name,
        votes=len(votes),
        ties=sum(answer.choice == "tie" for answer in votes),
        pairs=len({answer.pair for answer in votes}),
        concepts=len({answer.concept for answer in votes}),
        people=len({answer.rater for answer in votes}),
        unranked=criterion.unranked_reason,
        warnings=list(ranking.warnings) if ranking else [],
        standings=[_standing(entry) for entry in ranking.entries] if ranking else [],
        preferences=[_preference(preference) for preference in criterion.preferences],
        alpha=_interval(reliability.alpha),
        ac1=reliability.ac1,
        two_people=ShareRecord.from_proportion(reliability.ceiling),
        same_again=ShareRecord.from_proportion(reliability.self_agreement),
        checks=ShareRecord.from_proportion(criterion.checks),
        sentinels=ShareRecord.from_proportion(criterion.catch_trials),
        left=ShareRecord.from_proportion(criterion.left_share),
        agreement=[AgreementRecord.model_validate(each) for each in criterion.agreement],
        pair_votes=_pair_votes(votes),
    )


def _pair_votes(answers: Sequence[Answer]) -> list[PairVotesRecord]:
    """The numbers of votes on each pair of pictures, for the page that shows them beside it."""
    return [
        PairVotesRecord(
            one=pair.one,
            two=pair.two,
            concept=pair.concept,
            prompt=pair.prompt,
            seed=pair.seed,
            for_one=sum(value > 0.5 for value in votes.values()),
            ties=sum(value == 0.5 for value in votes.values()),
            for_two=sum(value < 0.5 for value in votes.values()),
        )
        for pair, votes in sorted(collect_pair_votes(answers).items())
    ]


def _standing(entry: LeaderboardEntry) -> StandingRecord:
    return StandingRecord(
        name=entry.name,
        rank=entry.rank,
        ranks=entry.rank_range,
        tier=entry.tier,
        limit=entry.limit,
        rating=_interval(entry.rating),
        win_rate=_interval(entry.win_rate),
        votes=entry.votes,
    )


def _preference(preference: Preference) -> PreferenceRecord:
    return PreferenceRecord(
        one=preference.one,
        two=preference.two,
        votes=preference.votes,
        ties=preference.ties,
        forced=_interval(preference.forced),
        forced_ratio=_interval(preference.forced_ratio),
        decided=_interval(preference.decided),
        decided_ratio=_interval(preference.decided_ratio),
        least=preference.power.least,
        needed=preference.sample_size.votes if preference.sample_size else None,
    )


def _interval(interval: Interval) -> IntervalRecord:
    return IntervalRecord.model_validate(interval)
