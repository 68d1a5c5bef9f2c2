"""Coverage of intervals of agreement and reliability in planted studies.

Concepts differ in how clearly one method is better, raters in how much they like it. The share of
95 % intervals that hold the truth should be .92 to .98 for alpha, for the agreement of two people,
and for a judge and one person against the majority.

OMP_NUM_THREADS=1 python benchmarks/coverage_raters.py
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from htbench.stats import crossed
from htbench.study.analyse.agreement import ceiling, majority_agreement
from htbench.study.analyse.reliability import alpha
from htbench.study.answer import Pair

COLUMNS = ("alpha", "two people", "judge accuracy", "judge kappa", "one person")
_STUDIES = 100
"""Number of studies of 60 concepts whose mean is the truth for agreement with the majority."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A study; spreads are standard deviations of log-odds."""

    concepts: int
    raters: int
    answers: int
    """Raters of each pair of pictures, drawn at random for it."""
    concept_spread: float
    rater_spread: float
    lean: float = 0.0
    """Log-odds of a vote for the first method on an average concept."""
    pairs: int = 4
    """Pairs of pictures of each concept."""


Study = dict[Pair, dict[str, float]]


def draw(design: Design, random: np.random.Generator) -> tuple[Study, dict[Pair, float]]:
    """The votes of a study, and the verdicts of a judge, who sees concepts as people do."""
    concept = design.lean + design.concept_spread * random.standard_normal(design.concepts)
    rater = design.rater_spread * random.standard_normal(design.raters)
    people: Study = {}
    verdicts: dict[Pair, float] = {}
    for k in range(design.concepts * design.pairs):
        own = concept[k // design.pairs]
        panel = random.permutation(design.raters)[: design.answers]
        votes = random.random(design.answers) < expit(own + rater[panel])
        pair = Pair("overall", f"c{k // design.pairs}", "", k, "a", "b")
        people[pair] = {f"r{r}": float(vote) for r, vote in zip(panel, votes, strict=True)}
        verdicts[pair] = float(random.random() < expit(own))
    return people, verdicts


def truth(design: Design, random: np.random.Generator) -> Float[np.ndarray, " columns"]:
    """The values that intervals should hold: those of endlessly many concepts."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    chance = expit(
        design.lean + design.concept_spread * nodes[:, None] + design.rater_spread * nodes[None, :]
    )
    by_concept, by_rater = chance @ weights, weights @ chance
    rate = float(weights @ by_concept)
    two = float(weights @ (by_concept**2 + (1 - by_concept) ** 2))
    spread = float(weights @ (by_rater - rate) ** 2) / design.raters
    disagreement = 2 * (rate * (1 - rate) - spread)
    large = [draw(replace(design, concepts=60), random) for _ in range(_STUDIES)]
    majority = np.array([_majority_values(people, verdicts) for people, verdicts in large])
    return np.array([1 - (1 - two) / disagreement, two, *majority.mean(0)])


def _majority_values(people: Study, verdicts: dict[Pair, float]) -> list[float]:
    judge, person = majority_agreement("judge", "", verdicts, people), ceiling(people)
    assert judge
    assert person
    return [judge.accuracy.value, judge.kappa.value, person.accuracy.value]


def intervals(people: Study, verdicts: dict[Pair, float]) -> list[tuple[float, float]]:
    """The interval of each column."""
    units = [(pair.concept, votes) for pair, votes in people.items()]
    judge, person = majority_agreement("judge", "", verdicts, people), ceiling(people)
    assert judge
    assert person
    found = (alpha(units), judge.accuracy, judge.kappa, person.accuracy)
    ends = [(each.low, each.high) for each in found]
    return [ends[0], crossed.pairwise_share(units).interval, *ends[1:]]


def simulate(
    design: Design, *, simulations: int = 600, seed: int = 0
) -> Float[np.ndarray, " columns"]:
    """The share of simulated studies in which the interval of each of `COLUMNS` holds the truth."""
    random = np.random.default_rng(seed)
    true = truth(design, random)
    held = []
    for _ in range(simulations):
        ends = np.array(intervals(*draw(design, random)))
        held.append((ends[:, 0] <= true) & (true <= ends[:, 1]))
    return np.asarray(np.mean(held, axis=0))


def main() -> None:
    """Print a table of coverage."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--simulations", type=int, default=600)
    options.add_argument("--lean", type=float, default=0.0, help="log-odds, default 0")
    chosen = options.parse_args()
    titles = ("concepts", "raters", "answers", "concept SD", "rater SD", *COLUMNS)
    print(f"| {' | '.join(titles)} |\n{'|--:' * len(titles)}|")
    panels = ((3, 3), (5, 5), (10, 10), (10, 3))
    for number, (concepts, (raters, answers), concept_spread, rater_spread) in enumerate(
        (concepts, panel, concept_spread, rater_spread)
        for concepts in (12, 20, 40)
        for panel in panels
        for concept_spread in (0.0, 1.0, 2.0)
        for rater_spread in (0.0, 0.7)
    ):
        design = Design(
            concepts=concepts,
            raters=raters,
            answers=answers,
            concept_spread=concept_spread,
            rater_spread=rater_spread,
            lean=chosen.lean,
        )
        shares = simulate(design, simulations=chosen.simulations, seed=number)
        cells = (concepts, raters, answers, f"{concept_spread:g}", f"{rater_spread:g}")
        print(f"| {' | '.join((*map(str, cells), *(f'{x:.3f}' for x in shares)))} |", flush=True)


if __name__ == "__main__":
    main()
