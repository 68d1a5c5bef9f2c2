"""Perceptual scales of strengths, learnt by a run on dev concepts that is charged to the method.

The effect of a strength is the mean concept gain over dev concepts, by an encoder other than the
headline's where the run has one: so the scale is learnt neither on the concepts nor by the encoder
that it is tested with.
"""

from dataclasses import asdict, dataclass

import numpy as np

from htbench.core.types import UNSTEERED
from htbench.run.plan import Plan
from htbench.run.strength_ranges import range_facts, range_table
from htbench.run.summary import HEADLINE, Summary
from htbench.stats.strength_scale import learn_scale

_STEPS = 8
"""Number of equal steps up to the largest strength of the plan at which a scale is learnt."""
_BEYOND = (1.5, 2.0)
"""Multiples of that strength at which the end of the useful range is looked for."""
_LARGEST = 10.0
"""The largest strength of a plan."""
DIGITS = 4
"""Decimal places of a method's own strengths."""


@dataclass(frozen=True, kw_only=True)
class MethodScale:
    """The perceptual scale of one method."""

    encoder: str
    """Id of the encoder whose concept gain is the effect."""
    top: float
    """The method's own strength up to which the scale reaches: the largest of the plan."""
    requested: list[float]
    """The plan's strengths above 0 as shares of the largest one."""
    strengths: list[float]
    """The method's own strength for each; none for a method without effect on dev concepts."""
    shares: list[float]
    """Points of the scale, as shares of the largest effect, see `stats.strength_scale`."""
    points: list[float]
    """The method's own strength at each of them."""
    curve: list[tuple[float, float]]
    """Each strength that was tried, and its mean effect."""
    concepts: int
    """Number of dev concepts."""
    seconds: float
    """Seconds of fitting the dev concepts and of generating their images."""
    range: dict[str, object] | None
    """The useful range on dev concepts, see `stats.useful_range.UsefulRange`."""

    def facts(self) -> dict[str, object]:
        """All fields, as JSON-like values."""
        return asdict(self)


def scale_strengths(plan: Plan) -> tuple[float, ...]:
    """The strengths at which a scale is learnt: eighths of the largest, those of the plan, and two
    beyond it.
    """
    own = plan.steering_strengths
    if not own:
        return ()
    eighths = np.linspace(0, own[-1], _STEPS + 1)[1:].round(6).tolist()
    beyond = [at for factor in _BEYOND if (at := round(factor * own[-1], 6)) <= _LARGEST]
    return tuple(sorted({*eighths, *own, *beyond}))


def learn_scales(summary: Summary, plan: Plan) -> dict[str, MethodScale]:
    """The scale of every method from the run on dev concepts of a `plan`.

    Methods without scores have none.
    """
    own = np.array(plan.steering_strengths)
    top, requested = float(own[-1]), own / own[-1]
    table = range_table(summary)
    ranges = {each.method: each.all_concepts for each in table.methods} if table else {}
    encoder = effect_encoder(summary)
    scales = {}
    for method in summary.methods:
        if method == UNSTEERED or not (curve := _effects(summary, method, encoder)):
            continue
        within = [(at, effect) for at, effect in curve.items() if at <= top]
        scale = learn_scale(*zip(*within, strict=True)) if within else None
        found = ranges.get(method)
        scales[method] = MethodScale(
            encoder=encoder,
            top=top,
            requested=requested.tolist(),
            strengths=scale.at(requested).round(DIGITS).tolist() if scale else [],
            shares=list(scale.shares) if scale else [],
            points=list(scale.strengths) if scale else [],
            curve=list(curve.items()),
            concepts=summary.concepts,
            seconds=seconds_on_dev(summary, method),
            range=range_facts(found) if found else None,
        )
    return scales


def effect_encoder(summary: Summary) -> str:
    """Id of the encoder that scales are learnt by: the first one other than the headline's."""
    others = (each.id for each in summary.facts.scorers if each.id != summary.scorer)
    return next(others, summary.scorer)


def seconds_on_dev(summary: Summary, method: str) -> float:
    """Seconds of fitting the dev concepts and of generating their images."""
    fits = sum(fit.seconds for fit in summary.store.fit_timings() if fit.method == method)
    query = """SELECT coalesce(sum(seconds), 0) FROM images
               WHERE key IN (SELECT image FROM cells WHERE method = ? AND strength != 0)"""
    ((images,),) = summary.store.select(query, method)
    return float(fits + images)


def _effects(summary: Summary, method: str, encoder: str) -> dict[float, float]:
    """Mean concept gain by strength, by an encoder; failed cells have the worst."""
    rows = (
        summary.leaderboard_row(method, at, scorer=encoder) for at in summary.strengths if at > 0
    )
    return {row.strength: gain.mean for row in rows if (gain := row.scores[HEADLINE])}
