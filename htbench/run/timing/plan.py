"""Plans of `htbench time`: the models and methods to time, and the settings of the protocol.

It needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from htbench.core import content, reading
from htbench.core.errors import UnknownName
from htbench.run.settings import Settings, fill

Name = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """Settings of a timing session: its length, and the size of the work."""

    rounds: int = 30
    """Maximum number of rounds; there are at least 10 unless time runs out."""
    minutes: float = 9.0
    """Time budget from the start, preparation included; no round begins that would exceed it."""
    again: int = 8
    """Rounds in which every method gets the same concept a second time, to detect caching; fewer
    where there is no time for them."""
    steps: int | None = None
    """Maximum number of steps that a fit is measured over.

    None: as many of 3 to 20 as leave time for 10 rounds.
    """
    together: int = 8
    """Concepts that methods fit side by side, if they can, in times of their own; 1: none."""
    train_concepts: int = 8
    """Number of concepts that amortised methods are trained on."""
    train_steps: int = 8
    """Maximum number of training steps."""
    encoder: str = ""
    """Concept encoder to use where the model's own conditioner is not installed.

    With another encoder a method is not timed as published.
    """
    seed: int = 0


class TimingPlan(Settings):
    """The settings of `htbench time`."""

    models: Annotated[tuple[Name, ...], Field(min_length=1)] = ("emoji",)
    """Models, each timed in a session of its own."""
    weights: Name = ""
    """Source of the models' weights; empty: the models' default."""
    model_options: tuple[Annotated[str, Field(pattern=r"^[a-z]+=.+$", max_length=1000)], ...] = ()
    """Options for loading the models, each as name=value."""
    methods: tuple[Name, ...] = ()
    """Names of methods, or paths of their cards; none: all."""
    concept_set: Name = "emoji"
    rounds: Annotated[int, Field(ge=3)] = 30
    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 9.0
    """Time for all models together."""
    steps: Count | None = None
    """Steps of a fit that are measured; None: chosen so that there is time for 10 rounds."""
    together: Annotated[int, Field(ge=1, le=1024)] = 8
    """Concepts that methods fit side by side, if they can, in times of their own; 1: none."""
    train_concepts: Annotated[int, Field(ge=2)] = 8
    train_steps: Count = 8
    encoder: Name = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    needs_gpu: bool = False
    """True for work that takes a CPU days: it is refused there unless the CPU is named."""

    def protocol(self, minutes: float) -> TimingProtocol:
        """The protocol of one model's session of `minutes`."""
        names = (
            *("rounds", "steps", "together", "train_concepts", "train_steps"),
            *("encoder", "seed"),
        )
        settings = {name: getattr(self, name) for name in names}
        return TimingProtocol(minutes=minutes, **settings)


def names() -> list[str]:
    """Names of the shipped plans."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def about(name: str) -> str:
    """The sentence on a plan."""
    return str(_read(name).get("about", ""))


def build(name: str | None, options: Mapping[str, object]) -> TimingPlan:
    """The plan `name`, if any, with `options` that are not None over it.

    Raises:
        UnknownName: if there is no such plan or setting, with the nearest names.
        UsageError: for a file that is not TOML, or a value that makes no sense.
    """
    plan = {key: value for key, value in _read(name).items() if key != "about"} if name else {}
    return fill(TimingPlan, [plan, options], other=Settings)


def _read(name: str) -> dict[str, object]:
    if name.endswith(".toml"):
        return reading.read_toml(Path(name), noun="plan file")
    if name not in names():
        raise UnknownName("plan of htbench time", name, names(), remedy="See: htbench list plans")
    return reading.read_toml(_folder() / f"{name}.toml", noun="plan file")


def _folder() -> Path:
    return content.folder("reports") / "timing-plans"
