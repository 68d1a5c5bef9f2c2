"""The scoring stage of scorers of activations: each method at full strength, beside its targets.

The model is run again on evaluation prompts, which no method was fitted on, with interventions of
the run at its sites. Methods are taken a few at a time, and what was scored is kept after each few.
"""

from collections.abc import Mapping

import numpy as np

from htbench.core import content
from htbench.core.errors import HtbenchError
from htbench.core.types import Digest
from htbench.run import activation_rows
from htbench.run.context import RunContext, chunks
from htbench.run.fact_table import ActivationScoreFacts, Facts
from htbench.run.plan import map_file
from htbench.run.summary import Summary
from htbench.run.workers.messages import ActivationScores, Handle, MeasureActivations, run_all
from htbench.scorers.activation_scorer import ActivationScorer
from htbench.stats import estimates
from htbench.steering.concept import Concept

_METHODS_AT_ONCE = 8


def score(context: RunContext) -> dict[str, int]:
    """Score the activations of every method that has no score of its present interventions yet.

    Returns the number of methods that were scored, by scorer.
    """
    scored = {scorer.card.name: 0 for scorer in context.activation_scorers}
    if not context.activation_scorers:
        return scored
    facts = Facts.read(context.store)
    digests = activation_rows.digests(context.plan, context.store, facts)
    scorers = {scorer_id(scorer): scorer for scorer in context.activation_scorers}
    rows = {
        id_: {row.method: row.stored for row in kept.rows if row.digest == digests.get(row.method)}
        for id_ in scorers
        for kept in [_stored(facts, id_)]
    }
    todo = [method for method in digests if any(method not in own for own in rows.values())]
    kept = [each.stored for each in facts.activation_scores if each.name not in scored]
    stage = context.display.progress("score activations", len(todo))
    for methods in chunks(todo, _METHODS_AT_ONCE):
        new = _rows(context, facts, scorers, {method: digests[method] for method in methods})
        for id_, scorer in scorers.items():
            added = {method: row for method, row in new[id_].items() if method not in rows[id_]}
            rows[id_] |= added
            scored[scorer.card.name] += len(added)
        written = [_facts(scorers[id_], id_, own, digests, facts) for id_, own in rows.items()]
        context.store.set_facts(activation_scores=[*kept, *written])
        stage.advance(len(methods))
    return scored


def scorer_id(scorer: ActivationScorer) -> str:
    """Name and revision under which the scores of activations are stored."""
    return f"{scorer.card.name}@{content.digest([scorer.card.name, scorer.card.version])}"


def _rows(
    context: RunContext,
    facts: Facts,
    scorers: Mapping[str, ActivationScorer],
    digests: Mapping[str, str],
) -> dict[str, dict[str, Mapping[str, object]]]:
    """The scores of some methods as they are stored, or the reasons why there are none, by scorer.

    A method without one of its interventions is not run.
    """
    plan, concepts = context.plan, activation_rows.concepts(context.plan)
    strength = Summary(context.store).full_strength
    changes: dict[str, list[Handle]] = {}
    problems: dict[str, str] = {}
    for method in digests:
        try:
            changes[method] = [_load(context, facts, method, concept) for concept in concepts]
        except HtbenchError as error:
            problems[method] = f"an intervention is not there: {error}"
    source = activation_rows.images(plan, None, part=0)
    names = {id_: scorer.card.name for id_, scorer in scorers.items()}
    tasks = [
        MeasureActivations(
            concept=concept.id,
            source=source,
            targets=(
                activation_rows.images(plan, concept, part=1),
                activation_rows.images(plan, concept, part=2),
            ),
            changes={method: (own[k], strength) for method, own in changes.items()},
            scorers=tuple(names.values()),
            batch_size=plan.settings.batch,
        )
        for k, concept in enumerate(concepts)
        if changes
    ]
    results = {
        task.concept: result for task, result in run_all(context.pool, tasks, ActivationScores)
    }
    in_order = {concept.id: results[concept.id] for concept in concepts if concept.id in results}
    return {
        id_: {
            method: {
                "method": method,
                "strength": strength,
                "digest": "" if method in problems else digests[method],  # to be tried again
                **_score(facts, in_order, scorer, method, problems.get(method, "")),
            }
            for method in digests
        }
        for id_, scorer in scorers.items()
    }


def _load(context: RunContext, facts: Facts, method: str, concept: Concept) -> Handle:
    name = map_file(Digest(facts.methods[method].digest), Digest(facts.model.revision), concept)
    from htbench.steering import intervention

    return context.pool.put(intervention.load(context.maps / name, model=context.model))


def _score(
    facts: Facts,
    results: Mapping[str, ActivationScores],
    scorer: ActivationScorer,
    method: str,
    problem: str,
) -> dict[str, object]:
    """The score of a method over its concepts, or the reason why it has none."""
    name = scorer.card.name
    for concept, result in results.items():
        found = result.problems[name]
        if reason := found.get("") or found.get(method):
            problem = problem or f"{reason} (concept {concept})"
    if problem:
        return {"reason": problem}
    steered = {concept: each.steered[name][method] for concept, each in results.items()}
    means = {concept: [float(np.mean(values))] for concept, values in steered.items()}
    estimate = estimates.over_concepts(means, facts.families, within=(0, scorer.card.most))
    if estimate is None:
        return {"reason": "the run has no concepts"}
    columns = [
        np.mean([*steered.values()], axis=0),
        np.mean([each.unsteered[name] for each in results.values()], axis=0),
        np.mean([each.halves[name] for each in results.values()], axis=0),
    ]
    sites = next(iter(results.values())).sites
    return {
        "value": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "concepts": estimate.n,
        "clusters": estimate.clusters,
        "unsteered": float(columns[1].mean()),
        "floor": float(columns[2].mean()),
        "sites": {
            site: row.tolist() for site, row in zip(sites, np.stack(columns, 1), strict=True)
        },
    }


def _stored(facts: Facts, id_: str) -> ActivationScoreFacts:
    found = (each for each in facts.activation_scores if each.id == id_)
    return next(found, ActivationScoreFacts())


def _facts(
    scorer: ActivationScorer,
    id_: str,
    rows: Mapping[str, Mapping[str, object]],
    order: Mapping[str, str],
    facts: Facts,
) -> dict[str, object]:
    card = scorer.card
    return {
        "id": id_,
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "best": card.best,
        "paper": card.paper,
        "model": f"{facts.model.name}@{facts.model.revision}",
        "images": activation_rows.IMAGES,
        "rows": [dict(rows[method]) for method in order if method in rows],
    }
