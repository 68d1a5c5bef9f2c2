"""Plans: which methods are run on which concepts, and the cells that this makes."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from htbench.core import content, registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import UNSTEERED, Digest
from htbench.run.settings import Settings, fill
from htbench.scorers import scorer as scorers
from htbench.steering import baseline, concept
from htbench.steering.concept import Concept, ConceptSet

Strength = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=1000)]
MAX_CELLS = 10_000_000
"""Cells of one run: more are a slip of the pen, and would be planned for hours."""


class Plan(Settings):
    """Everything that a run is asked to do; equal plans give equal cells."""

    model: Name = "emoji"
    weights: Name = ""
    """Where the model's weights are: `hub`, `random` or a folder; empty: where the model has them."""
    model_options: tuple[Annotated[str, Field(pattern=r"^[a-z]+=.+$", max_length=1000)], ...] = ()
    """How the model is loaded, each as name=value: size=512."""
    methods: Annotated[tuple[Name, ...], Field(min_length=1)] = (
        UNSTEERED,
        "prompt",
        "mean-shift",
        "linear-act",
        "lineas",
        "hypertransport",
    )
    """Names of baselines or paths of their cards; `none` is always among them, since every score is paired with it."""
    concepts: str = "test"
    """Splits or concept ids, separated by commas."""
    concept_set: Name = "emoji"
    limit: Annotated[int, Field(ge=1)] | None = None
    """So many concepts, the first of the selection; a set's order mixes kinds."""
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] = (0.0, 0.5, 1.0)
    prompts: Annotated[int, Field(ge=1)] = 4
    """Evaluation prompts a concept."""
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Images a prompt."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images generated at once; part of an image's identity, since on every device so far it changes last bits."""
    scorers: tuple[Name, ...] = ()
    """Encoders that score, the headline's first, and gauges, or paths of their cards; no encoder: the model's own, which no method reads concepts with."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """For learning and for resampling; images have seeds of their own."""
    tune_strength: bool = False
    """Choose a strength a method on dev concepts, charge its time to the method, and run the method at it too."""
    tune_concepts: Annotated[int, Field(ge=1)] = 8
    """Dev concepts that strengths are chosen on."""
    tune_floor: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """Image preservation that a chosen strength must keep, on average."""

    def load_options(self) -> dict[str, str]:
        """How the model is loaded, by option."""
        given = dict(option.split("=", 1) for option in self.model_options)
        return {**given, "weights": self.weights} if self.weights else given


class RunOptions(Settings):
    """How a run is done: nothing here changes an image or a score."""

    device: str | None = None
    """cpu, cuda or cuda:1; None: the GPU if there is one."""
    workers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Processes that share the work; None: this one alone, or with `ray` one a GPU, one a machine if there are none."""
    ray: Annotated[str, Field(max_length=1000)] | None = None
    """`auto` or the address of a Ray cluster; None: this machine alone."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processor threads of each worker; None: what it takes for all to share the cores. On a CPU they change last bits of images."""
    out: str = "runs"
    """Folder that runs are kept in."""
    name: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,59}$")] | None = None
    """Folder of this run below `out`; None: made from the plan."""
    allow_leak: bool = False
    """Run methods on concepts that they were trained on; the report says so."""
    max_failures: (
        Annotated[int, Field(ge=0)]
        | Annotated[str, Field(pattern=r"^\d{1,9}$|^\d{1,3}(\.\d{1,9})?%$")]
    ) = "100%"
    """Stop once more cells than this have failed: a number, or a share of the planned cells."""

    def failures_allowed(self, planned: int) -> int:
        """`max_failures` as a number of cells."""
        text = str(self.max_failures)
        return int(float(text[:-1]) / 100 * planned) if text.endswith("%") else int(text)


SETTING_EFFECTS = {
    "grid": frozenset(
        {
            "methods",
            "concepts",
            "concept_set",
            "limit",
            "strengths",
            "prompts",
            "seeds",
            "tune_strength",
            "tune_concepts",
            "tune_floor",
        }
    ),
    "image": frozenset({"model", "weights", "model_options", "batch", "seed"}),
    "score": frozenset({"scorers"}),
}
"""What each setting of a plan decides: which cells there are, what every image looks like, or how it is scored."""


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
    path = (
        Path(name)
        if name.endswith(".toml")
        else content.folder("reports") / "plans" / f"{name}.toml"
    )
    if not name.endswith(".toml") and name not in names():
        raise UnknownName("plan", name, names(), remedy="See: htbench list plans")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Missing(
            f"no plan file {name!r}",
            remedy="Give the path of a TOML file, or a name from: htbench list plans",
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise UsageError(f"plan {name[:200]!r} cannot be read: {str(error)[:200]}") from None


def build(*layers: Mapping[str, object]) -> Plan:
    """The plan that `layers` of settings make, later ones over earlier ones; None leaves a setting alone."""
    plan = fill(Plan, layers, other=RunOptions)
    return plan.model_copy(
        update={
            "methods": tuple(dict.fromkeys((UNSTEERED, *plan.methods))),
            "strengths": tuple(sorted({0.0 + s for s in plan.strengths})),
        }
    )


def run_options(*layers: Mapping[str, object]) -> RunOptions:
    """How the run is done, from the same layers of settings."""
    return fill(RunOptions, layers, other=Plan)


def names() -> list[str]:
    """Names of the shipped plans."""
    return sorted(path.stem for path in (content.folder("reports") / "plans").glob("*.toml"))


def check(plan: Plan) -> tuple[ConceptSet, tuple[Concept, ...]]:
    """The concept set of a plan and the concepts chosen from it; raises if the plan names anything that does not exist.

    Needs no torch, so that a slip of the pen is answered at once.
    """
    registry.check("models", plan.model)
    for scorer in plan.scorers:
        scorers.check(scorer)
    for method in labels(plan).values():
        baseline.load_card(method)
    concepts = concept.load(plan.concept_set)
    if plan.prompts > len(concepts.prompts):
        raise UsageError(
            f"{plan.prompts} prompts wanted, the concept set has {len(concepts.prompts)}",
            remedy=f"Use --prompts {len(concepts.prompts)} or fewer.",
        )
    chosen = concepts.select(plan.concepts)[: plan.limit]
    if cell_count(plan, len(chosen)) > MAX_CELLS:
        raise UsageError(
            f"the plan has {cell_count(plan, len(chosen)):,} cells, one run holds at most {MAX_CELLS:,}",
            remedy="Use fewer seeds or strengths.",
        )
    return concepts, chosen


def labels(plan: Plan) -> dict[str, str]:
    """What tables call each method, the name on its card, and what the plan calls it: that name, or the path of a card.

    Raises:
        UsageError: if two cards have one name.
    """
    found: dict[str, str] = {}
    for method in plan.methods:
        name = baseline.load_card(method).name if method.endswith(".toml") else method
        if name in found:
            raise UsageError(
                f"two methods are called {name!r}: {found[name][:200]!r} and {method[:200]!r}",
                remedy="Give one of the cards another name.",
            )
        found[name] = method
    return found


def cell_count(plan: Plan, concepts: int) -> int:
    """Number of cells of a plan on so many concepts, strengths that are still to be chosen left out."""
    return (
        concepts * plan.prompts * plan.seeds * (1 + (len(plan.methods) - 1) * len(plan.strengths))
    )


def cells(
    plan: Plan,
    concepts: Sequence[Concept],
    prompts: Sequence[str],
    *,
    tuned: Mapping[str, float] | None = None,
) -> Iterator[Cell]:
    """All cells in their fixed order, the unsteered ones first: method `none` has strength 0 alone, others also their tuned one."""
    chosen = tuned or {}
    for method in plan.methods:
        strengths = (
            (0.0,)
            if method == UNSTEERED
            else sorted({*plan.strengths, *([chosen[method]] if method in chosen else [])})
        )
        for wanted in concepts:
            for prompt in prompts[: plan.prompts]:
                for seed in range(plan.seeds):
                    for strength in strengths:
                        yield Cell(
                            method=method,
                            concept=wanted,
                            prompt=prompt,
                            seed=image_seed(prompt, seed),
                            strength=strength,
                        )


@cache
def image_seed(prompt: str, number: int) -> int:
    """Seed of image `number` of a prompt: the same for all methods, concepts and strengths, so that they are paired."""
    return int(content.digest([prompt, number]), 16) % 2**63


def image_key(cell: Cell, *, model: Digest, method_digest: Digest, batch: int) -> Digest:
    """Digest of all that can change a cell's image; at strength 0 no method can, so such cells share one image."""
    what: Sequence[object] = (
        [] if cell.strength == 0 else [method_digest, cell.concept.digest, cell.strength]
    )
    return content.digest([model, cell.prompt, cell.seed, batch, *what])
