"""Simulated answers to the tasks that are no choice between two methods, for rehearsals."""

from collections.abc import Callable, Mapping

import numpy as np

from htbench.core.types import method_and_strength
from htbench.study.answer import NOISE, Item
from htbench.study.task import Task

Answerer = Callable[[Item], str]
"""Gives one careful person's choice, or for several pictures the name of the chosen one."""
_SKILL_RANGE = (1.0, -1.0)
"""Utilities of the best and the worst method, in logits; the others are spread evenly between."""
_CONCEPT_SD, _RATER_SD = 0.7, 0.5
"""Standard deviations of the effects of concepts and of people on each method, in logits."""
_STRICTNESS_SD = 0.7
"""Standard deviation of people's shifts of the scale, in logits."""
_CUTS = (-2.0, -0.7, 0.7, 2.0)
"""Logits between the ratings 1 to 5."""
_NOTICED = (1 / 6, 1.0)
"""Differences of strength that are noticed in three of four cases, for the method of which they
are noticed best and for that of which they are noticed worst, as shares of the largest."""
_SENSITIVITY_SD, _LAPSES = 0.3, 0.02
"""Standard deviation of the logarithm of people's sensitivity, and the share of guesses."""
_PROBIT_75 = 0.6744897501960817


class TaskPopulation:
    """Traits of all careful people: utilities of methods, or their sensitivity to strengths."""

    def __init__(self, task: Task, key: Mapping[str, Item], rng: np.random.Generator) -> None:
        self._task, self._rng = task, rng
        names = {name for item in key.values() for name in item.shown}
        names = {name for name in names if name.partition(" ")[0] != NOISE}
        concepts = sorted({item.concept for item in key.values()})
        if task.name == "strength":
            found = [method_and_strength(name) for name in names]
            strengths = [strength for _, strength in found]
            span = max(strengths) - min(strengths)
            methods = sorted({method for method, _ in found})
            noticed = np.geomspace(*_NOTICED, len(methods)) * (span or 1.0)
            scale, spread = _PROBIT_75 / noticed, 0.0
        else:
            methods, spread = sorted(names), _CONCEPT_SD
            scale = np.linspace(*_SKILL_RANGE, len(methods))
        self.order = tuple(map(str, rng.permutation(methods)))
        """Methods in the order of their utility or sensitivity, the best first."""
        skill = dict(zip(self.order, scale, strict=True))
        self._utilities = {
            (name, concept): float(skill[name] + rng.normal(0, spread))
            for name in methods
            for concept in concepts
        }

    def person(self) -> Answerer:
        """A careful person with a taste of their own."""
        if self._task.name == "strength":
            return self._observer(float(np.exp(self._rng.normal(0, _SENSITIVITY_SD))))
        tastes = {name: self._rng.normal(0, _RATER_SD) for name in self.order}
        if self._task.pictures == "set":
            return lambda item: max(
                item.shown,
                key=lambda name: (
                    self._utilities[name, item.concept] + tastes[name] + self._rng.gumbel()
                ),
            )
        shift = self._rng.normal(0, _STRICTNESS_SD)
        return lambda item: self._grade(
            self._utilities[item.left, item.concept]
            + tastes[item.left]
            + shift
            + self._rng.logistic()
        )

    def _grade(self, impression: float) -> str:
        if self._task.name == "yes-no":
            return "yes" if impression > 0 else "no"
        return str(1 + sum(impression > cut for cut in _CUTS))

    def _observer(self, sensitivity: float) -> Answerer:
        def stronger(item: Item) -> str:
            (method, left), (_, right) = map(method_and_strength, (item.left, item.right))
            gap = self._utilities[method, item.concept] * sensitivity * (left - right)
            if self._rng.random() < _LAPSES:
                gap = 0.0
            return item.left if gap + self._rng.normal() > 0 else item.right

        return stronger
