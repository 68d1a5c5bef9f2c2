"""All that a reader of a run needs to know about how its numbers were made."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from htbench.run.context import RemoteEncoder, RunContext, encoder_id
from htbench.run.plan import labels
from htbench.steering import concept, leakage
from htbench.steering.concept import Concept
from htbench.steering.leakage import LeakageAudit


def headline_encoder(context: RunContext) -> RemoteEncoder:
    """The scorer of the leaderboard: the first that no method reads concepts with, else the first."""
    used = {name for learnt in context.steerings.values() for name in learnt.training.encoders}
    return next(
        (scorer for scorer in context.resources.encoders if scorer.name not in used),
        context.resources.encoders[0],
    )


def leakage_audits(context: RunContext) -> dict[str, LeakageAudit]:
    """The leakage audit of every method that was trained on concepts."""
    trained = {
        name: learnt.training.concepts
        for name, learnt in context.steerings.items()
        if learnt.training.concepts
    }
    if not trained:
        return {}
    encoder = headline_encoder(context)
    sets = (*map(concept.load, concept.names()), context.concept_set)
    known = {each.id: each for of in sets for concepts in of.splits.values() for each in concepts}
    texts = sorted(
        {known[id_].text for ids in trained.values() for id_ in ids if id_ in known}
        | {each.text for each in context.concepts}
    )
    vectors = dict(zip(texts, encoder.texts(texts).numpy(), strict=True))
    return {
        name: leakage.audit(context.concepts, ids, known, vectors, encoder=encoder.name)
        for name, ids in trained.items()
    }


def run_facts(context: RunContext, audits: Mapping[str, LeakageAudit]) -> dict[str, object]:
    """For the store."""
    model, chosen, given = context.model, {c.id for c in context.concepts}, labels(context.plan)
    return {
        "plan": context.plan.model_dump(mode="json"),
        "command": shlex.join(["htbench", *sys.argv[1:]]),
        "environment": {
            **model.environment,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "model": {
            **{
                "name": model.name,
                "revision": model.revision,
                "sites": len(model.sites),
                "channels": sum(site.channels for site in model.sites.values()),
            },
            **model.facts,
        },
        "scorer": _encoder_facts(headline_encoder(context)),
        "scorers": [_encoder_facts(scorer) for scorer in context.resources.encoders],
        "concept_set": {
            **{
                name: getattr(context.concept_set, name)
                for name in ("name", "version", "licence", "about")
            },
            "test": len(context.concept_set.splits["test"]),
        },
        "concepts": {
            c.id: _concept_facts(c, split)
            for split, concepts in context.concept_set.splits.items()
            for c in concepts
            if c.id in chosen
        },
        "methods": {
            name: {
                **context.cards[name].model_dump(
                    mode="json", exclude={"name", "method", "artifacts"}
                ),
                "digest": learnt.digest,
                "card": context.cards[name].digest,
                "given": given[name],
                "training": asdict(learnt.training),
                "leaked": list(audits[name].leaked) if name in audits else [],
                "audit": audits[name].facts() if name in audits else None,
            }
            for name, learnt in context.steerings.items()
        },
    }


def _encoder_facts(encoder: RemoteEncoder) -> dict[str, object]:
    return {
        "name": encoder.name,
        "revision": encoder.revision,
        "scale": encoder.scale,
        "id": encoder_id(encoder),
    }


def _concept_facts(of: Concept, split: str) -> dict[str, object]:
    return {"kind": of.kind, "text": of.text, "split": split, "digest": of.digest}
