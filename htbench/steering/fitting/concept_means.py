"""Mean activations of many concepts on one list of images, and shifts that make predicted changes.

All concepts share the prompts and seeds of one list of neutral images, so that a concept's change
of mean activations is not blurred by other prompts and other noise.
"""

import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.core import content, distributed
from htbench.core.errors import Refused
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.hooks import mean_pool
from htbench.steering.intervention import Affine
from htbench.steering.layout import Layout
from htbench.steering.model import Model, Tap

_LOG_EVERY = 50


@dataclass(frozen=True, kw_only=True)
class NeutralImages:
    """The images of neutral prompts, without steering, on which all changes are measured."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    means: Mapping[Site, Float[Tensor, "steps channels"]]
    """Their mean activations, by step of the model."""


@dataclass(frozen=True, kw_only=True)
class ConceptChanges:
    """Changes of mean activations that asking for a concept makes, for several concepts."""

    changes: dict[Site, Float[Tensor, "concepts channels"]]
    seconds: float
    """Wall-clock seconds of all images, in this call or an earlier one."""


def measure_neutral(model: Model, prompts: Sequence[str], seeds: Sequence[int]) -> NeutralImages:
    """Run the neutral `prompts` with `seeds`, in one batch."""
    means = _means_by_step(model, prompts, seeds)
    return NeutralImages(prompts=tuple(prompts), seeds=tuple(seeds), means=means)


def measure_changes(
    model: Model, concepts: Sequence[Concept], neutral: NeutralImages, *, folder: Path | None
) -> ConceptChanges:
    """The change of each concept: mean activations of its images minus those of neutral ones.

    Its images have the same prompts, reworded to ask for it, and the same seeds; means are over
    images, positions and steps. They are kept in `folder`, one file per concept, and found there by
    a later call. Distributed processes share the concepts.
    """
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    own = range(len(concepts))[distributed.shard(len(concepts))]
    began = time.perf_counter()

    def measure(k: int) -> tuple[dict[Site, Tensor], float]:
        result = _load_or_measure(model, concepts[k], neutral, folder=folder)
        done = own.index(k) + 1
        if distributed.is_rank_0() and done % _LOG_EVERY == 0:
            left = (len(own) - done) * (time.perf_counter() - began) / done / 60
            text = f"means of {done}/{len(own)} concepts  {left:.0f} min left"
            print(text, file=sys.stderr)
        return result

    means, seconds = zip(*distributed.map_sharded(measure, range(len(concepts))), strict=True)
    changes = {
        site: torch.stack([of_concept[site] for of_concept in means]).to(plain) - plain.mean(0)
        for site, plain in neutral.means.items()
    }
    return ConceptChanges(changes=changes, seconds=sum(seconds))


def make_changes(
    model: Model, neutral: NeutralImages, changes: Mapping[Site, Float[Tensor, " channels"]]
) -> Affine:
    """Shifts with which mean activations of the neutral images change by `changes`.

    One run is enough: each site gets what is left of its change after what the shifts of earlier
    sites have done there. A few-step model is shifted by the mean of that over the steps so far;
    its changes are met in the mean over steps as far as one shift for all steps can.
    """
    gaps: dict[Site, list[Tensor]] = defaultdict(list)
    maps: dict[Site, Affine] = {}

    def shift(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        if site not in changes:
            return z
        wanted = neutral.means[site][len(gaps[site])] + changes[site]
        gaps[site].append(wanted - mean_pool(z).mean(0))
        mean = torch.stack(gaps[site]).mean(0)
        maps[site] = Affine({site: torch.ones_like(mean)}, {site: mean})
        return maps[site].apply(site, z, strength=1.0)

    _trace(model, neutral.prompts, neutral.seeds, shift)
    return Affine(
        {site: maps[site].scale[site] for site in changes},
        {site: maps[site].shift[site] for site in changes},
    )


def _load_or_measure(
    model: Model, concept: Concept, neutral: NeutralImages, *, folder: Path | None
) -> tuple[dict[Site, Float[Tensor, " channels"]], float]:
    """Mean activations of a concept's images, on the CPU, and the seconds that they took."""
    prompts = [concept.target(prompt) for prompt in neutral.prompts]
    key = content.digest(["means", model.revision, prompts, list(neutral.seeds)])
    path = folder and folder / f"{key}.safetensors"
    if path and path.exists():
        return _load(path, model)
    began = time.perf_counter()
    by_step = _means_by_step(model, prompts, neutral.seeds)
    layout = Layout.of({site: values.shape[-1] for site, values in by_step.items()})
    flat = layout.join(by_step).mean(0).cpu()  # one copy, not one per site
    means = {site: values.clone() for site, values in layout.split(flat).items()}
    seconds = time.perf_counter() - began
    if path:
        tensors = {str(site): values for site, values in means.items()}
        content.write_whole(path, serialise(tensors, metadata={"seconds": repr(seconds)}))
    return means, seconds


def _load(path: Path, model: Model) -> tuple[dict[Site, Float[Tensor, " channels"]], float]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            shapes = {site: list(file.get_slice(site).get_shape()) for site in names}
            if shapes != {site: [info.channels] for site, info in model.sites.items()}:
                raise ValueError("its sites are not those of the model")
            means = {Site(site): file.get_tensor(site) for site in shapes}
            seconds = float((file.metadata() or {})["seconds"])
            if not math.isfinite(seconds):
                raise ValueError(f"its seconds are {seconds}")
            return means, seconds
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise Refused(
            f"means {str(path)[:300]!r} cannot be read: {' '.join(str(error).split())[:300]}",
            remedy="Delete the file to measure them again.",
        ) from None


def _means_by_step(
    model: Model, prompts: Sequence[str], seeds: Sequence[int]
) -> dict[Site, Float[Tensor, "steps channels"]]:
    means: dict[Site, list[Tensor]] = defaultdict(list)

    def record(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        means[site].append(mean_pool(z).mean(0))
        return z

    _trace(model, prompts, seeds, record)
    return {site: torch.stack(means[site]) for site in model.sites}


@torch.no_grad()
def _trace(model: Model, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
    with phase("extract"):
        model.trace(list(prompts), list(seeds), tap)
