"""The bootstrap of a model of people's answers: concepts, by family, and people are resampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats.durations import Interval
from htbench.stats.families import MIN_CLUSTERS, Families, FamiliesByConcept
from htbench.stats.ranking.influence import Variance


@dataclass(frozen=True, kw_only=True, eq=False)
class AnswerClusters:
    """The concepts and the people that answers belong to.

    A bootstrap weights each answer by the draws of its concept times the draws of its person, as
    that of `htbench.stats.ranking.bootstrap` does for votes.
    """

    families: Families
    """Those of the concepts."""
    concept: Int[np.ndarray, " answers"]
    """Indices of the concepts; likewise `person`."""
    person: Int[np.ndarray, " answers"]
    people: int

    @classmethod
    def collect(
        cls,
        concepts: Sequence[str],
        people: Sequence[str],
        families: FamiliesByConcept | None = None,
    ) -> "AnswerClusters":
        """The clusters of answers, from the concept and the person of each."""
        names, concept = np.unique(np.array(concepts, object), return_inverse=True)
        raters, person = np.unique(np.array(people, object), return_inverse=True)
        return cls(
            families=Families.of([str(name) for name in names], families),
            concept=concept,
            person=person,
            people=len(raters),
        )

    def draws(
        self, *, rounds: int, seed: int
    ) -> tuple[Float[np.ndarray, "rounds concepts"], Float[np.ndarray, "rounds people"]]:
        """Counts of each concept and each person in each resample; one person always is."""
        by_concept = self.families.resamples(seed=seed, rounds=rounds)
        if self.people == 1:
            return by_concept, np.ones((rounds, 1))
        people = Families.independent(self.people)
        return by_concept, people.resamples(seed=seed + 1, rounds=rounds)

    def weights(
        self, by_concept: Float[np.ndarray, " concepts"], by_person: Float[np.ndarray, " people"]
    ) -> Float[np.ndarray, " answers"]:
        """The weight of each answer in a resample."""
        return np.asarray(by_concept[self.concept] * by_person[self.person])

    def correction(
        self,
        influence: Float[np.ndarray, "answers statistics"],
        *,
        of_concepts: Float[np.ndarray, "concepts statistics"] | None = None,
        of_people: Float[np.ndarray, "people statistics"] | None = None,
    ) -> Float[np.ndarray, " statistics"]:
        """Factors for distances of resampled statistics from those of all answers.

        The bootstrap counts the noise of an answer three times; see `Variance.correction`.

        Args:
            influence: first-order change of each statistic by the weight of each answer.
            of_concepts: further change by the weight of each concept, such as that of the penalty
                of its effect; likewise `of_people`.
        """
        if self.people == 1:
            return np.ones(influence.shape[1])
        size = influence.shape[1]
        both = np.zeros((self.families.n * self.people, size))
        np.add.at(both, self.concept * self.people + self.person, influence)
        cells = both.reshape(self.families.n, self.people, size)
        by_concept, by_person = cells.sum(1), cells.sum(0)
        if of_concepts is not None:
            by_concept = by_concept + of_concepts
        if of_people is not None:
            by_person = by_person + of_people
        related = (by_concept * (self.families.kernel @ by_concept)).sum(0)
        return Variance(
            concept=np.maximum((by_concept**2).sum(0), related),
            rater=(by_person**2).sum(0),
            both=(both**2).sum(0),
        ).correction

    def interval(self, value: float, resamples: Float[np.ndarray, " rounds"]) -> Interval:
        """95 % interval of a statistic; NaN for fewer than three concepts or people.

        Resampled values may be infinite, and so may its ends be.
        """
        known = np.sort(resamples[~np.isnan(resamples)])
        clusters = min(self.families.clusters, self.people if self.people > 1 else np.inf)
        if clusters < MIN_CLUSTERS or not len(known):
            return Interval(value=value, low=np.nan, high=np.nan)
        tail = self.families.tail
        if self.people > 1:
            tail = min(tail, Families.independent(self.people).tail)
        low, high = np.quantile(known, [tail, 1 - tail], method="inverted_cdf")
        return Interval(value=value, low=float(low), high=float(high))
