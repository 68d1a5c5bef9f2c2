"""The facts that a run stores about how its numbers were made."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from htbench.core import secrets
from htbench.run.context import RemoteEncoder, RunContext
from htbench.run.fact_table import (
    ConceptFacts,
    ConceptSetFacts,
    EncoderFacts,
    Facts,
    MethodFacts,
    ModelFacts,
    PlanFacts,
    TrainingFacts,
)
from htbench.run.tasks.task import BESIDE
from htbench.run.workers.messages import SteeringInfo
from htbench.steering import concept, leakage
from htbench.steering.baseline import Card
from htbench.steering.leakage import LeakageAudit
from htbench.steering.pair import pairs_among
from htbench.steering.wording import CANONICAL


def headline_encoder(context: RunContext) -> RemoteEncoder:
    """The scorer of the leaderboard: the first encoder that no method reads concepts with.

    The first of all where methods use every one. Methods of a bundle count like those of the run.
    """
    used = {name for steering in context.steerings.values() for name in steering.training.encoders}
    used |= context.frozen.encoders
    encoders = context.encoders
    return next((encoder for encoder in encoders if encoder.name not in used), encoders[0])


def leakage_audits(context: RunContext) -> dict[str, LeakageAudit]:
    """The leakage audit of every method that was trained on concepts."""
    trained = {
        name: steering.training
        for name, steering in context.steerings.items()
        if steering.training.concepts or steering.training.unverified
    }
    if not trained:
        return {}
    encoder, concepts = headline_encoder(context), context.plan.concepts
    sets = [*map(concept.load, concept.names()), context.plan.concept_set]
    by_id = {name: leakage.concepts_of(training, sets) for name, training in trained.items()}
    texts = sorted(
        {
            by_id[name][id_].text
            for name, training in trained.items()
            for id_ in training.concepts
            if id_ in by_id[name]
        }
        | {c.text for c in concepts}
    )
    vectors = dict(zip(texts, encoder.texts(texts).numpy(), strict=True))
    return {
        name: leakage.audit(concepts, training, by_id[name], vectors, encoder=encoder.name)
        for name, training in trained.items()
    }


def run_facts(context: RunContext, audits: Mapping[str, LeakageAudit]) -> dict[str, object]:
    """The facts of the run as its store holds them, apart from those that later stages add."""
    plan = context.plan
    concept_ids = {c.id for c in plan.concepts}
    splits = {c.id: split for split, own in plan.concept_set.splits.items() for c in own}
    facts = Facts(
        plan=PlanFacts.model_validate(plan.settings.model_dump(mode="json")),
        model=_model_facts(context),
        scorer=encoder_facts(headline_encoder(context)),
        scorers=[encoder_facts(encoder) for encoder in context.encoders],
        concept_set=ConceptSetFacts(
            name=plan.concept_set.name,
            version=plan.concept_set.version,
            licence=plan.concept_set.licence,
            about=plan.concept_set.about,
            test=len(plan.concept_set.splits["test"]),
        ),
        concepts={
            c.id: ConceptFacts(
                kind=c.kind, text=c.text, split=split, digest=c.digest, families=list(c.families)
            )
            for split, concepts in plan.concept_set.splits.items()
            for c in concepts
            if c.id in concept_ids
        }
        | {
            c.id: ConceptFacts(
                kind=c.kind,
                text=c.text,
                split=c.split(splits),
                digest=c.digest,
                families=list(c.families),
            )
            for c in pairs_among(plan.concepts)
        },
        methods={
            name: _method_facts(
                plan.cards[name],
                given=plan.given_names[name],
                steering=steering,
                audit=audits.get(name),
            )
            for name, steering in context.steerings.items()
        },
        fit_seeds={
            name: [plan.fit_seed(number) for number in range(plan.settings.fit_seeds)]
            for name in plan.refitted
            if plan.settings.fit_seeds > 1
        },
        repeats=context.repeats,
        **_wording_facts(context),
        **_task_facts(context),
    )
    return context.frozen.with_facts(facts.model_dump(mode="json"))


def _wording_facts(context: RunContext) -> dict[str, Any]:
    """The facts on wordings; none for a run in canonical words alone."""
    plan = context.plan
    if len(plan.settings.wording) == 1:
        return {}
    if plan.wording != CANONICAL:
        phrasings = {id_: [each.text for each in ways] for id_, ways in plan.phrasings.items()}
        return {"wording": plan.wording, "phrasings": phrasings}
    return {"wordings": {part.wording: part.cell_count for part in plan.wordings}}


def _task_facts(context: RunContext) -> dict[str, Any]:
    """The facts on the task; none for a run that adds concepts."""
    plan = context.plan
    if not plan.task.parts:
        return {}
    parts = {id_: {each.text: each.part for each in own} for id_, own in plan.task_prompts.items()}
    pairs = pairs_among(plan.concepts)
    members = {pair.id: [each.id for each in pair.members] for pair in pairs}
    others = {
        id_: {each.text: each.asked.kind for each in own if each.part == BESIDE}
        for id_, own in plan.task_prompts.items()
    }
    beside = {id_: kinds for id_, kinds in others.items() if kinds}
    more = {name: value for name, value in (("members", members), ("beside", beside)) if value}
    return {"task": {"name": plan.task.name, "parts": parts, **more}}


def environment(context: RunContext) -> dict[str, object]:
    """Versions, processor, threads and device of the workers, without secrets."""
    return {
        name: secrets.scrub(value) if isinstance(value, str) else value
        for name, value in context.model.environment.items()
    }


def _model_facts(context: RunContext) -> ModelFacts:
    model = context.model
    return ModelFacts.model_validate(
        {
            "name": model.name,
            "revision": model.revision,
            "sites": len(model.sites),
            "channels": sum(site.channels for site in model.sites.values()),
            **model.facts,
        }
    )


def encoder_facts(encoder: RemoteEncoder) -> EncoderFacts:
    """Description of an encoder that scores."""
    return EncoderFacts(
        name=encoder.name, revision=encoder.revision, scale=encoder.scale, id=encoder.id
    )


def _method_facts(
    card: Card, *, given: str, steering: SteeringInfo, audit: LeakageAudit | None
) -> MethodFacts:
    return MethodFacts.model_validate(
        {
            **card.model_dump(mode="json", exclude={"name", "method", "artifacts"}),
            "digest": steering.digest,
            "card": card.digest,
            "given": given,
            "training": TrainingFacts.model_validate(asdict(steering.training)),
            "leaked": list(audit.leaked) if audit else [],
            "audit": audit.facts() if audit else None,
        }
    )
