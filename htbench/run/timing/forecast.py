"""The time that a plan of `htbench time` for a GPU would take on a CPU."""

import time

import torch

from htbench.core import registry
from htbench.run.timing.plan import TimingPlan
from htbench.run.timing.schedule import MIN_STEPS
from htbench.stats.durations import MIN_SAMPLES
from htbench.steering import baseline

_SIDE, _REPETITIONS = 1024, 5


def cpu_hours(plan: TimingPlan) -> float:
    """Hours that the steps of long fits take alone, in 10 rounds, by their operations.

    Less than the plan takes: one-pass fits, trainings and images come on top. Models that cannot
    tell their operations count nothing.
    """
    options = dict(option.split("=", 1) for option in plan.model_options)
    if plan.weights:
        options["weights"] = plan.weights
    settings = [baseline.load_card(name).settings for name in plan.methods]
    batches = [
        each["batch"] for each in settings if each.get("steps", 0) > MIN_STEPS and "batch" in each
    ]
    flop = 0
    for model in plan.models:
        count = getattr(registry.load("models", model), "lineas_flop", None)
        if count:
            by_batch = {batch: count(batch, **options) for batch in set(batches)}
            flop += MIN_SAMPLES * MIN_STEPS * sum(by_batch[batch] for batch in batches)
    return flop / _flop_per_second() / 3600


def _flop_per_second() -> float:
    """Operations a second of a product of matrices on this CPU: no network does more."""
    a, b = torch.ones(_SIDE, _SIDE), torch.ones(_SIDE, _SIDE)
    torch.mm(a, b)
    began = time.perf_counter()
    for _ in range(_REPETITIONS):
        torch.mm(a, b)
    return _REPETITIONS * 2 * _SIDE**3 / (time.perf_counter() - began)
