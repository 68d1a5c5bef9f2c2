"""The scheduler of a generator, at the timesteps or the number of steps of its preset."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from htbench.core import weights
from htbench.core.errors import UnknownName, UsageError
from htbench.core.weights import LocalFiles
from htbench.models.published.families import Family
from htbench.models.published.preset import TINY, Preset

_PUBLISHED = {
    "sdxl": "EulerDiscreteScheduler",
    "pixart-sigma": "DPMSolverMultistepScheduler",
    "flux": "FlowMatchEulerDiscreteScheduler",
    "sana-sprint": "SCMScheduler",
    "z-image": "FlowMatchEulerDiscreteScheduler",
    "qwen-image": "FlowMatchEulerDiscreteScheduler",
    "flux2-klein": "FlowMatchEulerDiscreteScheduler",
}
"""Schedulers of the families' pipelines."""
_SCHEDULER_FILE = "scheduler/scheduler_config.json"


def name_scheduler(preset: Preset, files: LocalFiles | None) -> str:
    """The class of a preset's scheduler: its own, else that of the pipeline."""
    if preset.scheduler:
        return preset.scheduler
    if files is not None:
        own = weights.read_config(files.base / _SCHEDULER_FILE).get("_class_name")
        if isinstance(own, str):
            return own
    return _PUBLISHED[preset.family.removesuffix(TINY)]


def make_scheduler(
    preset: Preset,
    name: str,
    settings: Mapping[str, object],
    device: str,
    *,
    family: Family,
    side: int,
    cells: int,
) -> Any:
    """diffusers' scheduler `name`, set to the timesteps or the number of steps of `preset`.

    Args:
        settings: settings of the pipeline with those of the preset over them.
        family: the family of the preset, whose pipeline says how given timesteps are set.
        side: rows and columns of its latents.
        cells: number of cells that the denoiser reads, on which some shift their timesteps.

    Raises:
        UnknownName: for a scheduler or a setting of the preset's that diffusers does not have.
        UsageError: if the scheduler cannot have such timesteps.
    """
    import diffusers

    known = [each for each in dir(diffusers) if each.endswith("Scheduler")]
    if name not in known:
        raise UnknownName("scheduler of diffusers", name, known)
    kind = getattr(diffusers, name)
    own = list(inspect.signature(kind.__init__).parameters)[1:]
    for setting in preset.scheduler_settings:
        if setting not in own:
            raise UnknownName(f"setting of {name}", setting, own)
    scheduler = kind.from_config(dict(settings))
    is_shifted = getattr(scheduler.config, "use_dynamic_shifting", False)
    if preset.card and preset.timesteps and is_shifted:
        raise UsageError(
            f"{name} of {preset.name} shifts its timesteps by the size of an image, so it "
            "cannot have given ones",
            remedy="Give the card `steps` instead, or use_dynamic_shifting = false.",
        )
    try:
        if timesteps := preset.timesteps or family.timesteps(preset.steps):
            family.set_timesteps(scheduler, timesteps, side=side, device=device)
        else:
            shift = {"mu": _shift(scheduler.config, cells)} if is_shifted else {}
            scheduler.set_timesteps(device=device, **_steps(preset.steps, name), **shift)
    except (TypeError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{name} of {preset.name} cannot have its timesteps: {text}",
            remedy="Give the card `steps` instead, or another scheduler.",
        ) from None
    return scheduler


def step_options(scheduler: Any, generators: object) -> dict[str, Any]:
    """The arguments of a scheduler's step that not all schedulers have."""
    takes = "generator" in inspect.signature(scheduler.step).parameters
    return {"generator": generators} if takes else {}


def _steps(count: int, name: str) -> dict[str, Any]:
    """The arguments that diffusers' pipelines set a number of steps with."""
    if name == "FlowMatchEulerDiscreteScheduler":
        return {"sigmas": np.linspace(1.0, 1 / count, count)}
    return {"num_inference_steps": count}


def _shift(config: Any, cells: int) -> float:
    """The shift of timesteps by the size of an image, as in diffusers' pipeline of FLUX.1."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    shift: float = calculate_shift(
        cells,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    return shift
