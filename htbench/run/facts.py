"""All that a reader of a run needs to know about how its numbers were made."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from htbench.run.context import Job, Reader, encoder_id
from htbench.run.plan import labels
from htbench.steering import concept, leakage
from htbench.steering.concept import Concept
from htbench.steering.leakage import Audit


def headline(job: Job) -> Reader:
    """The scorer of the leaderboard: the first that no method reads concepts with, else the first."""
    used = {name for learnt in job.methods.values() for name in learnt.training.encoders}
    return next((scorer for scorer in job.tools.scorers if scorer.name not in used), job.tools.scorers[0])


def audits(job: Job) -> dict[str, Audit]:
    """The leakage audit of every method that was trained on concepts."""
    trained = {name: learnt.training.concepts for name, learnt in job.methods.items() if learnt.training.concepts}
    if not trained:
        return {}
    encoder = headline(job)
    sets = (*map(concept.load, concept.names()), job.concept_set)
    known = {each.id: each for of in sets for concepts in of.splits.values() for each in concepts}
    texts = sorted({known[id_].text for ids in trained.values() for id_ in ids if id_ in known} | {each.text for each in job.concepts})
    vectors = dict(zip(texts, encoder.texts(texts).numpy(), strict=True))
    return {name: leakage.audit(job.concepts, ids, known, vectors, encoder=encoder.name) for name, ids in trained.items()}


def facts(job: Job, audits: Mapping[str, Audit]) -> dict[str, object]:
    """For the store."""
    model, chosen, given = job.model, {c.id for c in job.concepts}, labels(job.plan)
    return {
        "plan": job.plan.model_dump(mode="json"),
        "command": shlex.join(["htbench", *sys.argv[1:]]),
        "environment": {**model.surroundings, "started": datetime.now(UTC).isoformat(timespec="seconds")},
        "model": {
            **{"name": model.name, "revision": model.revision, "sites": len(model.sites), "channels": sum(site.channels for site in model.sites.values())},
            **model.facts,
        },
        "scorer": _scorer(headline(job)),
        "scorers": [_scorer(scorer) for scorer in job.tools.scorers],
        "concept_set": {
            **{name: getattr(job.concept_set, name) for name in ("name", "version", "licence", "about")},
            "test": len(job.concept_set.splits["test"]),
        },
        "concepts": {c.id: _concept(c, split) for split, concepts in job.concept_set.splits.items() for c in concepts if c.id in chosen},
        "methods": {
            name: {
                **job.cards[name].model_dump(mode="json", exclude={"name", "method", "artifacts"}),
                "digest": learnt.digest,
                "card": job.cards[name].digest,
                "given": given[name],
                "training": asdict(learnt.training),
                "leaked": list(audits[name].leaked) if name in audits else [],
                "audit": audits[name].facts() if name in audits else None,
            }
            for name, learnt in job.methods.items()
        },
    }


def _scorer(scorer: Reader) -> dict[str, object]:
    return {"name": scorer.name, "revision": scorer.revision, "scale": scorer.scale, "id": encoder_id(scorer)}


def _concept(of: Concept, split: str) -> dict[str, object]:
    return {"kind": of.kind, "text": of.text, "split": split, "digest": of.digest}
