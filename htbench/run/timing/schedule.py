"""The size of a timing session: steps per fit, repeats and rounds that fit into its time.

It is worked out from the seconds that each method took while it was warmed up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from htbench.stats import durations

MIN_STEPS, MAX_STEPS = 3, 20
"""Fewest and most steps that a long fit is measured over where the number is chosen."""
_RESERVE = 0.1
"""Share of the time that is planned for nothing, since rounds do not all take the same."""


@dataclass(frozen=True, kw_only=True)
class MethodPace:
    """The seconds of one method on one concept, and of an image with it."""

    concept: float
    """A fit or a prediction, without steps that may be fewer."""
    image: float
    step: float = 0.0
    """One step of a fit that is measured over a part of its steps; 0: of one measured in full."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The size of a session."""

    steps: int
    """Steps that long fits are measured over."""
    again: int
    """Rounds in which every method gets the same concept a second time; they come first."""
    rounds: int
    """Rounds for which there is time; fewer once the noise is steady."""
    round_seconds: float
    """Seconds of a round without repeats."""
    repeat_seconds: float
    """Seconds that the repeats add to a round."""

    def seconds(self, rounds: int) -> float:
        """Seconds of the first `rounds` rounds."""
        return rounds * self.round_seconds + min(rounds, self.again) * self.repeat_seconds

    @property
    def is_enough(self) -> bool:
        """True if there is time for 10 rounds."""
        return self.rounds >= durations.MIN_SAMPLES


def choose(
    paces: Sequence[MethodPace],
    *,
    image: float,
    seconds: float,
    rounds: int,
    again: int,
    steps: int | None,
) -> Schedule:
    """The schedule of methods with these `paces`: 10 rounds come first, then steps, then repeats.

    Args:
        image: seconds of an unsteered image.
        seconds: time that is left.
        rounds: most rounds.
        again: most rounds with repeats.
        steps: a fixed number of steps; None: as many of 3 to 20 as 10 rounds have time for.
    """
    seconds *= 1 - _RESERVE
    least = min(rounds, durations.MIN_SAMPLES)
    concept, step = sum(pace.concept for pace in paces), sum(pace.step for pace in paces)
    once = image + concept + sum(pace.image for pace in paces)
    repeat = concept + image * len(paces)
    again = min(again, least)
    if steps is None:
        left = seconds - least * once - again * repeat
        fitting = int(left / ((least + again) * step)) if step else MAX_STEPS
        steps = min(MAX_STEPS, max(MIN_STEPS, fitting))
    once, repeat = once + steps * step, repeat + steps * step
    if repeat:
        again = min(again, max(0, int((seconds - least * once) / repeat)))
    possible = int((seconds - again * repeat) / once) if once else rounds
    return Schedule(
        steps=steps,
        again=again,
        rounds=min(rounds, max(1, possible)),
        round_seconds=once,
        repeat_seconds=repeat,
    )
