"""What a study found, in the folder of its run, for the run's report to show.

It is `RUN/studies/NAME-DIGEST.json`, one file a study, written by `htbench study report RUN`; a later report of the same study replaces it:

```
{"version": 1, "study": NAME, "rules_changed": bool, "strength": number or null,
 "flow": [{"name": step, "people": left, "answers": left}, ...],
 "criteria": [{
   "name", "votes", "ties", "pairs", "concepts", "people", "unranked": why not or "", "warnings": [text, ...],
   "standings": [{"name", "rank", "ranks": "1–2", "tier", "limit", "rating": INTERVAL, "win_rate": INTERVAL, "votes"}, ...]: the best first,
   "preferences": [{"one", "two", "votes", "ties", "forced": INTERVAL, "forced_ratio": INTERVAL, "decided": INTERVAL, "decided_ratio": INTERVAL,
                    "least": rate that would show, "needed": votes that would show this one}, ...],
   "alpha": INTERVAL, "ac1": number, "two_people": SHARE, "same_again": SHARE, "checks": SHARE, "sentinels": SHARE, "left": SHARE,
   "agreement": [{"source": "person", "judge" or "metric", "name", "compared", "accuracy": INTERVAL, "kappa": INTERVAL, "ac1": INTERVAL}, ...]}, ...]}
```

An INTERVAL is `{"value", "low", "high"}`, a SHARE `{"count", "of", "value", "low", "high"}`; what is not known is null. Of agreement, `person` is the
ceiling: one person with the majority of the others. No pseudonym is in it.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from htbench.core.content import digest, file_digest
from htbench.core.errors import UsageError
from htbench.judging.tables import nan_to_null
from htbench.stats.proportions import Proportion
from htbench.study import manifest
from htbench.study.analyse.result import CriterionResult, Preference, StudyResult
from htbench.study.collect import intake

FOLDER, VERSION = "studies", 1


def write_to_run(result: StudyResult, run: Path, *, study: Path, rules_changed: bool) -> Path:
    """Write what the study in a folder found into the folder of its run, and give the file's path.

    Raises:
        UsageError: if the folder cannot be written.
    """
    key, name = study / intake.KEY_FILE, study.resolve().name
    path = (
        run
        / FOLDER
        / f"{_file_name(name)}-{(file_digest(key) if key.is_file() else digest(name))[:8]}.json"
    )
    facts = {
        "version": VERSION,
        "study": name,
        "rules_changed": rules_changed,
        "strength": manifest.read(study).get("strength"),
        "flow": [
            {"name": step.name, "people": step.people, "answers": step.answers}
            for step in result.flow.steps
        ],
        "criteria": [_criterion(each, result) for each in result.criteria],
    }
    try:
        path.parent.mkdir(exist_ok=True)
        _write(path, facts)
    except OSError as error:
        raise UsageError(f"cannot write to run {str(run)[:300]!r}: {error.strerror}") from None
    return path


def _criterion(criterion: CriterionResult, result: StudyResult) -> dict[str, object]:
    votes = [
        answer
        for answer in result.flow.kept
        if answer.kind == "vote" and answer.criterion == criterion.name
    ]
    ranking = criterion.ranking.facts() if criterion.ranking else {"standings": [], "warnings": []}
    how = criterion.reliability
    return {
        "name": criterion.name,
        "votes": len(votes),
        "ties": sum(answer.choice == "tie" for answer in votes),
        "pairs": len({answer.pair for answer in votes}),
        "concepts": len({answer.concept for answer in votes}),
        "people": len({answer.rater for answer in votes}),
        "unranked": criterion.unranked_reason,
        "warnings": ranking["warnings"],
        "standings": list(_standings(ranking["standings"])),
        "preferences": [_preference(each) for each in criterion.preferences],
        "alpha": asdict(how.alpha),
        "ac1": how.ac1,
        "two_people": _share(how.ceiling),
        "same_again": _share(how.self_agreement),
        "checks": _share(criterion.checks),
        "sentinels": _share(criterion.catch_trials),
        "left": _share(criterion.left_share),
        "agreement": [asdict(each) for each in criterion.agreement],
    }


def _standings(standings: Any) -> Iterator[dict[str, object]]:
    for each in standings:
        yield {
            name: each[name]
            for name in ("name", "rank", "ranks", "tier", "limit", "rating", "win_rate", "votes")
        }


def _preference(preference: Preference) -> dict[str, object]:
    intervals = ("forced", "forced_ratio", "decided", "decided_ratio")
    return {
        **{name: getattr(preference, name) for name in ("one", "two", "votes", "ties")},
        **{name: asdict(getattr(preference, name)) for name in intervals},
        "least": preference.power.least,
        "needed": preference.sample_size.votes if preference.sample_size else None,
    }


def _share(share: Proportion) -> dict[str, float]:
    low, high = share.interval
    return {"count": share.count, "of": share.of, "value": share.value, "low": low, "high": high}


def _file_name(study: str) -> str:
    return (
        "".join(char if char.isalnum() or char in "-_" else "-" for char in study)[:80] or "study"
    )


def _write(path: Path, facts: dict[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(
        json.dumps(nan_to_null(facts), indent=1, sort_keys=True, allow_nan=False) + "\n",
        encoding="utf-8",
    )
    fresh.replace(path)
