"""Plans: which methods are run on which concepts, and the cells that this makes."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench import concept, content, registry
from htbench.concept import Concept, ConceptSet
from htbench.errors import Missing, UnknownName, UsageError
from htbench.types import Digest

Strength = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


class Plan(BaseModel):
    """Everything that a run is asked to do; equal plans give equal cells."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = "emoji"
    methods: tuple[str, ...] = Field(("none", "prompt", "mean-shift", "linear-act", "lineas", "hypertransport"), min_length=1)
    """Names of baselines or paths of their cards; `none` is always among them, since every score is paired with it."""
    concepts: str = "test"
    """Splits or concept ids, separated by commas."""
    concept_set: str = "emoji"
    limit: int | None = Field(None, ge=1)
    """So many concepts, the first of the selection; a set's order mixes kinds."""
    strengths: tuple[Strength, ...] = Field((0.0, 0.5, 1.0), min_length=1)
    prompts: int = Field(4, ge=1)
    """Evaluation prompts a concept."""
    seeds: int = Field(1, ge=1)
    """Images a prompt."""
    batch: int = Field(16, ge=1)
    """Images generated at once; part of an image's identity."""
    scorer: str = ""
    """Encoder that scores; empty: the model's own, which no shipped method is conditioned on."""
    seed: int = Field(0, ge=0)
    """For learning and for resampling; images have seeds of their own."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image to make and score."""

    method: str
    concept: Concept
    prompt: str
    seed: int
    strength: float


def read(name: str) -> dict[str, object]:
    """Settings in the plan `name`: a shipped one, or the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else content.folder("reports") / f"{name}.toml"
    if name.endswith(".toml") and not path.is_file():
        raise Missing(f"no plan file {name!r}", remedy="Give the path of a TOML file, or a name from: htbench list plans")
    if not name.endswith(".toml") and name not in names():
        raise UnknownName("plan", name, names(), remedy="See: htbench list plans")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"plan {name!r} cannot be read: {error}") from None


def build(*layers: Mapping[str, object]) -> Plan:
    """The plan that `layers` of settings make, later ones over earlier ones; None leaves a setting alone."""
    settings: dict[str, object] = {}
    for layer in layers:
        settings.update({key: value for key, value in layer.items() if value is not None})
    for key in settings:
        if key not in Plan.model_fields:
            raise UnknownName("plan setting", key, Plan.model_fields)
    try:
        plan = Plan.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"plan setting {where!r}: {first['msg']}, not {str(first['input'])[:60]!r}") from None
    return plan.model_copy(update={"methods": tuple(dict.fromkeys(("none", *plan.methods))), "strengths": tuple(sorted(set(plan.strengths)))})


def names() -> list[str]:
    """Names of the shipped plans."""
    return sorted(path.stem for path in content.folder("reports").glob("*.toml"))


def check(plan: Plan) -> tuple[ConceptSet, tuple[Concept, ...]]:
    """The concept set of a plan and the concepts chosen from it; raises if the plan names anything that does not exist.

    Needs no torch, so that a slip of the pen is answered at once.
    """
    registry.check("models", plan.model)
    if plan.scorer:
        registry.check("encoders", plan.scorer)
    for method in plan.methods:
        registry.card(method)
    concepts = concept.load(plan.concept_set)
    if plan.prompts > len(concepts.prompts):
        raise UsageError(
            f"{plan.prompts} prompts wanted, the concept set has {len(concepts.prompts)}", remedy=f"Use --prompts {len(concepts.prompts)} or fewer."
        )
    return concepts, concepts.select(plan.concepts)[: plan.limit]


def cells(plan: Plan, concepts: Sequence[Concept], prompts: Sequence[str]) -> Iterator[Cell]:
    """All cells in their fixed order, the unsteered ones first: method `none` has strength 0 alone."""
    for method in plan.methods:
        for wanted in concepts:
            for prompt in prompts[: plan.prompts]:
                for seed in range(plan.seeds):
                    for strength in (0.0,) if method == "none" else plan.strengths:
                        yield Cell(method=method, concept=wanted, prompt=prompt, seed=image_seed(prompt, seed), strength=strength)


def image_seed(prompt: str, number: int) -> int:
    """Seed of image `number` of a prompt: the same for all methods, concepts and strengths, so that they are paired."""
    return int(content.digest([prompt, number]), 16) % 2**63


def image_key(cell: Cell, *, model: Digest, learnt: Digest, batch: int) -> Digest:
    """Digest of all that can change a cell's image; at strength 0 no method can, so such cells share one image."""
    what: Sequence[object] = [] if cell.strength == 0 else [learnt, cell.concept.digest, cell.strength]
    return content.digest([model, cell.prompt, cell.seed, batch, *what])
