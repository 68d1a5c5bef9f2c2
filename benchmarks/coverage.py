"""Error rates of the intervals and tests of htbench, by simulations whose truth is known.

Scores of concepts are drawn with a known mean: independent ones, and those of the held-out concepts
of the set `emoji`, where what words bring is a quarter or a half of the variance. An interval of
95 % should hold the truth in 95 % of simulations; a test at 5 % should be wrong in 5 %. The command
prints every rate beside the bounds that it is held to, and ends with exit code 1 where one is
outside.

OMP_NUM_THREADS=1 python benchmarks/coverage.py
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from htbench.stats import estimates, fit_seeds
from htbench.stats.paired import compare
from htbench.stats.ranking.leaderboard import rank
from htbench.stats.ranking.ranks import rank_by_scores
from htbench.stats.ranking.votes import Votes
from htbench.steering import concept

SIZES = (6, 12, 40, 167)
METHODS = 6
COVERED = (0.93, 0.97)
"""Bounds of the coverage of a nominal 95 % interval."""
SEEDED = (0.93, 0.98)
"""The same for three fit seeds, whose spread has two degrees of freedom."""
SKEWED = (0.91, 0.99)
"""The same for scores as skewed as an exponential distribution, and for those near 0 and 1."""
FALSE = (0.0, 0.06)
"""Bounds of the rate of a wrong conclusion, nominal 5 %."""
Draw = Callable[[tuple[int, ...]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The share of simulations in which something happened, and the bounds it should be within."""

    what: str
    value: float
    bounds: tuple[float, float]

    @property
    def holds(self) -> bool:
        """True if the rate is within its bounds."""
        return self.bounds[0] <= self.value <= self.bounds[1]


@dataclass(frozen=True)
class World:
    """Concepts whose scores are drawn: `n` of them, with words that bring a `share` of variance.

    A `share` of None: the concepts have no word in common.
    """

    n: int
    share: float | None

    @property
    def name(self) -> str:
        """The world in words."""
        return f"{self.n:3} concepts, " + (
            "independent" if self.share is None else f"words bring {self.share:.0%}"
        )

    @property
    def concepts(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(_shipped())[: self.n]

    @property
    def families(self) -> Mapping[str, tuple[str, ...]]:
        """The families that intervals know of."""
        return {} if self.share is None else _shipped()

    def scores(self, draw: Draw, methods: int = 1) -> np.ndarray:
        """Scores of variance 1 and mean 0, of shape (methods, concepts)."""
        own = draw((methods, self.n))
        if self.share is None:
            return own
        words = _words(self.n)
        shared = draw((methods, words.shape[1])) @ words.T
        return np.asarray(np.sqrt(self.share) * shared + np.sqrt(1 - self.share) * own)

    def by_concept(self, scores: np.ndarray) -> dict[str, float]:
        """One method's scores by concept."""
        return dict(zip(self.concepts, map(float, scores), strict=True))


@cache
def _shipped() -> dict[str, tuple[str, ...]]:
    """Families of the held-out concepts of the set `emoji`."""
    return {each.id: each.families for each in concept.load("emoji").splits["test"]}


@cache
def _words(n: int) -> np.ndarray:
    """The share of each word in the first `n` concepts, in rows of length 1."""
    own = list(_shipped().values())[:n]
    words = sorted({word for each in own for word in each})
    has = np.array([[word in each for word in words] for each in own], float)
    return np.asarray(has / np.linalg.norm(has, axis=1, keepdims=True))


WORLDS = [World(n, share) for n in SIZES for share in (None, 0.25, 0.5)]


def normal(rng: np.random.Generator) -> Draw:
    """Normally distributed scores."""
    return rng.standard_normal


def skewed(rng: np.random.Generator) -> Draw:
    """Scores of an exponential distribution, of mean 0."""
    return lambda shape: rng.exponential(size=shape) - 1


def near_the_ends(rng: np.random.Generator) -> Draw:
    """Scores like those of presence, most of them near 0 or near 1, of mean 0 and variance 1."""
    a, b = 0.4, 0.6
    sd = np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    return lambda shape: (rng.beta(a, b, shape) - a / (a + b)) / sd


def mean_coverage(simulations: int) -> Iterator[Rate]:
    """Intervals of a mean over concepts."""
    for what, distribution, bounds in (
        ("normal", normal, COVERED),
        ("near 0 and 1", near_the_ends, SKEWED),
        ("skewed", skewed, SKEWED),
    ):
        for world in WORLDS:
            yield Rate(
                what=f"interval of a mean, {what}, {world.name}",
                value=covered(world, distribution, simulations),
                bounds=bounds,
            )


def covered(
    world: World, distribution: Callable[[np.random.Generator], Draw], simulations: int
) -> float:
    """The share of simulations in which the interval of a mean holds the true one, 0."""
    draw, held = distribution(np.random.default_rng(1)), 0
    for _ in range(simulations):
        scores = world.by_concept(world.scores(draw)[0])
        values = {name: [score] for name, score in scores.items()}
        mean = estimates.over_concepts(values, world.families)
        held += bool(mean and mean.low <= 0 <= mean.high)
    return held / simulations


def seed_coverage(simulations: int) -> Iterator[Rate]:
    """Intervals of a mean over concepts and three fit seeds, which move all concepts alike."""
    for world in (each for each in WORLDS if each.n in (40, 167)):
        for ratio in (0, 0.5, 2, 10):
            rng, held = np.random.default_rng(9), 0
            seed_sd = ratio * world.scores(rng.standard_normal, 500).mean(1).std()
            for _ in range(simulations):
                own, *noise = world.scores(rng.standard_normal, 4)
                at_seeds = own + 0.5 * np.array(noise) + rng.normal(0, seed_sd, (3, 1))
                values = dict(zip(world.concepts, at_seeds.T.tolist(), strict=True))
                mean = fit_seeds.over_concepts(values, world.families)
                held += bool(mean and mean.low <= 0 <= mean.high)
            yield Rate(
                what=f"interval of a mean, seeds {ratio} x concepts, {world.name}",
                value=held / simulations,
                bounds=SEEDED,
            )


def contrast_coverage(simulations: int) -> Iterator[Rate]:
    """Intervals of the difference of two groups of concepts."""
    for sizes in ((4, 6), (6, 87)):
        draw, held = normal(np.random.default_rng(2)), 0
        for _ in range(simulations):
            groups = [
                dict(zip(map(f"{name}{{}}".format, range(size)), draw((size,)), strict=True))
                for name, size in zip("ab", sizes, strict=True)
            ]
            difference = estimates.contrast(*groups)
            held += bool(difference and difference.low <= 0 <= difference.high)
        yield Rate(
            what=f"interval of a contrast, {sizes[0]} against {sizes[1]} concepts",
            value=held / simulations,
            bounds=COVERED,
        )


def false_tiers(simulations: int) -> Iterator[Rate]:
    """Six equal methods: how often some pair is told apart; small worlds four times as often."""

    def told_apart(world: World, draw: Draw, seed: int) -> bool:
        scores = _by_method(world, world.scores(draw, METHODS))
        ranks = rank_by_scores(scores, world.families, rounds=400, seed=seed)
        return ranks is not None and any(test.significant for test in ranks.pairwise_tests)

    for world in WORLDS:
        number = simulations * (4 if world.n <= 12 else 1)
        yield _wrong("some tier among six equal methods", world, told_apart, number, seed=3)


def false_differences(simulations: int) -> Iterator[Rate]:
    """Six equal methods: how often some paired difference is significant."""

    def some_difference(world: World, draw: Draw, _: int) -> bool:
        pairs = compare(_by_method(world, world.scores(draw, METHODS)), world.families)
        return any(pair.p < 0.05 for pair in pairs)

    what = "some difference among six equal methods"
    for world in WORLDS:
        yield _wrong(what, world, some_difference, simulations, seed=4)


def false_equivalence(simulations: int, pairs: int = 9, margin: float = 0.05) -> Iterator[Rate]:
    """Methods that differ from a reference by exactly the margin: how often one is equivalent."""

    def some_equivalent(world: World, draw: Draw, _: int) -> bool:
        scores = _by_method(world, margin + 0.15 * world.scores(draw, pairs))
        scores["reference"] = dict.fromkeys(world.concepts, 0.0)
        compared = compare(scores, world.families, reference="reference", margin=margin)
        return any(pair.equivalence and pair.equivalence.holds for pair in compared)

    what = f"some of {pairs} pairs at the margin called equivalent"
    for world in WORLDS:
        yield _wrong(what, world, some_equivalent, simulations, seed=5)


def _wrong(
    what: str,
    world: World,
    is_wrong: Callable[[World, Draw, int], bool],
    simulations: int,
    *,
    seed: int,
) -> Rate:
    """The rate of a wrong conclusion on normally distributed scores."""
    draw = normal(np.random.default_rng(seed))
    wrong = sum(is_wrong(world, draw, number) for number in range(simulations))
    return Rate(what=f"{what}, {world.name}", value=wrong / simulations, bounds=FALSE)


def _by_method(world: World, scores: np.ndarray) -> dict[str, dict[str, float]]:
    return {f"method {k}": world.by_concept(row) for k, row in enumerate(scores)}


def vote_rates(simulations: int) -> Iterator[Rate]:
    """Six equal methods judged in pairs, in a third of the simulations: ratings and tiers."""
    simulations = max(1, simulations // 3)
    for world in (World(n, share) for n in (12, 40, 167) for share in (None, 0.5)):
        rng = np.random.default_rng(6)
        held, told_apart = 0, 0
        for seed in range(simulations):
            ranking = rank(_votes(world, rng), rounds=400, seed=seed)
            held += sum(entry.rating.low <= 0 <= entry.rating.high for entry in ranking.entries)
            told_apart += any(test.significant for test in ranking.pairwise_tests)
        yield Rate(
            what=f"interval of a rating from votes, {world.name}",
            value=held / (simulations * METHODS),
            bounds=SKEWED,
        )
        yield Rate(
            what=f"some tier from votes on six equal methods, {world.name}",
            value=told_apart / simulations,
            bounds=FALSE,
        )


def _votes(world: World, rng: np.random.Generator) -> Votes:
    """A vote on every pair of methods for each concept, whose favour has a deviation of 1 logit."""
    favour = world.scores(normal(rng), METHODS)
    rows = [
        (f"method {one}", f"method {two}", name, favour[one, k] - favour[two, k])
        for k, name in enumerate(world.concepts)
        for one, two in combinations(range(METHODS), 2)
    ]
    first, second, concepts, gaps = zip(*rows, strict=True)
    won = rng.random(len(rows)) < 1 / (1 + np.exp(-np.array(gaps)))
    return Votes.collect(
        first=first,
        second=second,
        concept=concepts,
        outcome=[float(each) for each in won],
        families=world.families,
    )


CHECKS = (
    mean_coverage,
    seed_coverage,
    contrast_coverage,
    false_tiers,
    false_differences,
    false_equivalence,
    vote_rates,
)


def main() -> int:
    """Print every rate; 1 if one is outside its bounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=600, metavar="N")
    names = [check.__name__ for check in CHECKS]
    parser.add_argument("--only", choices=names, help="one kind of interval or test")
    args = parser.parse_args()
    outside = 0
    for check in CHECKS:
        if args.only in (None, check.__name__):
            for rate in check(args.simulations):
                low, high = rate.bounds
                mark = "" if rate.holds else "  <- outside"
                print(f"{rate.what:76} {rate.value:.3f}  [{low:.2f}, {high:.2f}]{mark}", flush=True)
                outside += not rate.holds
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
