"""Time of rankings: 20,000 verdicts with 2,000 rounds of the cluster bootstrap.

By the rule for ties, and by whether concepts alone or raters too are resampled.

OMP_NUM_THREADS=1 python benchmarks/ratings.py
"""

import time
from dataclasses import replace

import numpy as np

from htbench.stats.ranking.leaderboard import rank
from htbench.stats.ranking.robustness import robustness, sensitivity
from htbench.stats.ranking.votes import Votes

VERDICTS, ROUNDS, CONTENDERS, CONCEPTS, RATERS = 20_000, 2_000, 6, 167, 40


def verdicts(seed: int = 0) -> Votes:
    """Verdicts on contenders half a logit apart; concepts favour some, and one in five is a tie."""
    random = np.random.default_rng(seed)
    first = random.integers(0, CONTENDERS, VERDICTS)
    second = (first + random.integers(1, CONTENDERS, VERDICTS)) % CONTENDERS
    concept = random.integers(0, CONCEPTS, VERDICTS)
    favour = random.normal(0, 0.7, (CONCEPTS, CONTENDERS))
    gap = (second - first) / 2 + favour[concept, first] - favour[concept, second]
    won = random.random(VERDICTS) < 1 / (1 + np.exp(-gap))
    return Votes(
        names=tuple(f"method {k}" for k in range(CONTENDERS)),
        first=first,
        second=second,
        outcome=np.where(random.random(VERDICTS) < 0.2, 0.5, won),
        concepts=tuple(f"concept {k}" for k in range(CONCEPTS)),
        concept=concept,
        raters=tuple(f"rater {k}" for k in range(RATERS)),
        rater=random.integers(0, RATERS, VERDICTS),
    )


def main() -> None:
    """Print seconds of the processor, which say more than the wall's on a shared machine."""
    crossed = verdicts()
    nested = replace(crossed, raters=(), rater=None)
    for name, work in {
        "concepts, ties half": lambda: rank(nested, rounds=ROUNDS),
        "concepts, Davidson": lambda: rank(nested, ties="davidson", rounds=ROUNDS),
        "concepts x raters, ties half": lambda: rank(crossed, rounds=ROUNDS),
        "votes that decide first place": lambda: robustness(nested),
        "sensitivity, each concept and rater left out": lambda: sensitivity(crossed),
    }.items():
        wall, processor = time.perf_counter(), time.process_time()
        work()
        busy, wall = time.process_time() - processor, time.perf_counter() - wall
        print(f"{name:46} {busy:6.2f} s  ({wall:.2f} s on the wall)")


if __name__ == "__main__":
    main()
