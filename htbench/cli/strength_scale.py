"""The perceptual scales that a run has learnt, for other commands that steer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.cli.options import open_run
from htbench.core import registry
from htbench.core.errors import Refused, UnknownName, UsageError

if TYPE_CHECKING:
    from htbench.run.fact_table import Facts, ScaleFacts
    from htbench.steering.baseline import Card
    from htbench.steering.edits import Strength
    from htbench.steering.model import Model

SCALES = ("plain", "perceptual")


@dataclass(frozen=True, kw_only=True)
class OwnStrengths:
    """The strengths of methods of their own that stand for strengths on a scale."""

    by_method: dict[str, tuple["Strength", ...]]
    """A strength for each column; empty on the plain scale, where methods have those asked for."""
    run: str = ""
    """The run that learnt the scale."""
    revision: str = ""
    """Revision of the model that it steered."""

    def check_model(self, model: "Model") -> None:
        """Raise `Refused` for another revision of the model, of which the scale is not known."""
        if self.by_method and model.revision != self.revision:
            raise Refused(
                f"run {self.run!r} learnt its scale on other weights of {model.name}",
                remedy="Choose the weights of the run, or learn a scale with these.",
            )


def own_strengths(
    scale: str,
    run: str | None,
    runs_dir: Path,
    *,
    cards: "Sequence[Card]",
    model: str,
    columns: "Sequence[Strength]",
    only_adds: bool,
) -> OwnStrengths:
    """Each method's own strengths for columns of strengths on a scale.

    Args:
        scale: one of `SCALES`.
        run: the run that has learnt the perceptual scale; None for the plain one.
        only_adds: True if all concepts are learnt and added, which is what the scale is of.

    Raises:
        UnknownName: if there is no such scale or run.
        UsageError: if the scale needs a run, or has no need of one; if the run has no scale of a
            method with these settings, of the model, or for adding concepts; or if a strength is
            not on the scale.
    """
    if scale not in SCALES:
        raise UnknownName("strength scale", scale, SCALES, remedy="Choose plain or perceptual.")
    if scale == "plain":
        if run is not None:
            raise UsageError(
                "--run names the run of a perceptual scale",
                remedy="Add --strength-scale perceptual, or leave --run out.",
            )
        return OwnStrengths(by_method={})
    if not only_adds:
        raise UsageError(
            "a perceptual scale is of concepts that are learnt and added",
            remedy="Leave --strength-scale out, or --remove, --replace and --maps.",
        )
    if run is None:
        raise UsageError(
            "--strength-scale perceptual needs the run that learnt the scale: --run RUN",
            remedy=_remedy(cards[0].name),
        )
    facts = _read_facts(run, runs_dir, model)
    return OwnStrengths(
        by_method={
            card.name: _translate(_scale(facts, run, card), card.name, columns) for card in cards
        },
        run=run,
        revision=facts.model.revision,
    )


def _read_facts(run: str, runs_dir: Path, model: str) -> "Facts":
    from htbench.run.fact_table import Facts
    from htbench.run.store import Store

    with open_run(run, runs_dir) as folder, Store.read(folder) as store:
        facts = Facts.read(store)
    if facts.model.name != registry.own_name("models", model):
        raise UsageError(
            f"run {run!r} is one of {facts.model.name}, not of {model}",
            remedy=f"Add --model {facts.model.name}, or name another run.",
        )
    if facts.plan.task != "add":
        raise UsageError(
            f"run {run!r} learnt its scale for task {facts.plan.task}, not for adding concepts",
            remedy="Name another run.",
        )
    return facts


def _scale(facts: "Facts", run: str, card: "Card") -> "ScaleFacts":
    scale = facts.strength_scales.get(card.name)
    if scale is None:
        raise UsageError(
            f"run {run!r} has learnt no perceptual scale of {card.name}", remedy=_remedy(card.name)
        )
    if facts.methods[card.name].card != card.digest:
        raise UsageError(
            f"run {run!r} learnt its scale with other settings of {card.name}",
            remedy=_remedy(card.name),
        )
    if not scale.points:
        raise UsageError(
            f"run {run!r} saw no effect of {card.name} on dev concepts, so it has no scale",
            remedy="Leave --strength-scale out.",
        )
    return scale


def _translate(
    scale: "ScaleFacts", method: str, columns: "Sequence[Strength]"
) -> "tuple[Strength, ...]":
    from htbench.run.strength_scale import DIGITS
    from htbench.stats.strength_scale import StrengthScale

    learnt = StrengthScale(shares=tuple(scale.shares), strengths=tuple(scale.points))

    def own(strengths: Sequence[float]) -> tuple[float, ...]:
        for strength in strengths:
            if not 0 <= strength <= scale.top:
                raise UsageError(
                    f"--strength {strength:g} is not on the perceptual scale of {method}, "
                    f"which is from 0 to {scale.top:g}",
                    remedy=f"Write it as --strength 0,{scale.top / 2:g},{scale.top:g}",
                )
        requested = [strength / scale.top for strength in strengths]
        return tuple(learnt.at(requested).round(DIGITS).tolist())

    return tuple(own(each) if isinstance(each, tuple) else own([each])[0] for each in columns)


def _remedy(method: str) -> str:
    return (
        f"Learn one: htbench run --method {method} --strength 0,0.25,...,1 "
        "--strength-scale perceptual"
    )
