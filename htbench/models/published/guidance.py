r"""Guidance: prompts taken further than the denoiser takes them by itself.

Classifier-free guidance asks the denoiser twice, with the prompt and with a negative one, and goes
past the answer to the prompt: with :math:`\epsilon_c` and :math:`\epsilon_u`,

.. math:: \epsilon = \epsilon_u + g\,(\epsilon_c - \epsilon_u)

Pipelines differ: that of Z-Image adds g times the difference to the answer to the prompt, and that
of Qwen-Image gives each cell of the result the norm of the answer to the prompt.

Both are rows of one batch. Interventions act on the rows with the prompt alone: an
intervention stands in for words of the prompt, which have no part in the negative one. One that
gives the activations of a prompt with the concept then gives the image of that prompt, at any g.
Steered too, the negative rows would take back most of what guidance adds to the concept.

Denoisers with embedded guidance, such as FLUX.1 [dev] and SANA-Sprint, take g as an input, and are
asked once.

References:
    Ho and Salimans. Classifier-Free Diffusion Guidance. 2022. https://arxiv.org/abs/2207.12598
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.core.errors import UsageError
from htbench.core.types import Site
from htbench.models.published import sana
from htbench.models.published.preset import ADDED_GUIDANCE, EMBEDDED_GUIDANCE, TINY, Preset
from htbench.models.published.prompts import PromptCache, PromptEmbeds
from htbench.steering import hooks
from htbench.steering.intervention import Intervention
from htbench.steering.model import Tap

Kind = Literal["none", "classifier-free", "embedded"]
Formula = Literal["", "added", "rescaled"]
_PUBLISHED = {"sana-sprint": sana.GUIDANCE}
"""Scales of families that are never without guidance, where none is asked for."""
_FORMULAS: Mapping[str, Formula] = {
    **dict.fromkeys(ADDED_GUIDANCE, "added"),
    "qwen-image": "rescaled",
}
"""Families whose pipelines combine the two answers in another way than the usual one."""
_NEGATIVE_PROMPTS = {"qwen-image": " "}
"""Texts that the authors of a family's weights write for no negative prompt; others write none."""
_ZEROED = ("sdxl",)
"""Families whose pipelines have zeros for a negative prompt that is not given, unless their own
settings say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """The guidance of a generator."""

    kind: Kind
    scale: float = 0.0
    """diffusers' `guidance_scale`, or its `true_cfg_scale` where it has both."""
    factor: float = 0.0
    """Factor of an embedded scale, in the denoiser's number format; 0: the scale in float32."""
    formula: Formula = ""
    """Empty: past the answer to the negative prompt; `added`: past that to the prompt; `rescaled`:
    as the first, with the norm per cell of 2 x 2 latents of the answer to the prompt."""
    negative_prompt: str = ""
    has_zeros: bool = False
    """True if the encoding of the negative prompt is zeros."""

    def encode(self, prompts: PromptCache, mixtures: Sequence[Mapping[str, float]]) -> PromptEmbeds:
        """The encodings that the denoiser reads: of negative prompts, if any, then of mixtures."""
        if self.kind != "classifier-free":
            return prompts.encode(mixtures)
        words = prompts.encode([*[{self.negative_prompt: 1.0}] * len(mixtures), *mixtures])
        if not self.has_zeros:
            return words
        keep = torch.arange(2 * len(mixtures), device=words.states.device) >= len(mixtures)
        tensors = {
            name: value if name == "mask" else value * keep.view(-1, *[1] * (value.ndim - 1))
            for name, value in words.tensors().items()
        }
        return PromptEmbeds(**tensors)

    def steer(self, changes: Sequence[Intervention], strengths: Sequence[float]) -> hooks.Steering:
        """The tap that applies interventions to the rows with their prompts."""
        if self.kind != "classifier-free":
            return hooks.steer(changes, strengths)
        unsteered = [Intervention()] * len(changes)
        return hooks.steer([*unsteered, *changes], [*[0.0] * len(changes), *strengths])

    def tap(self, tap: Tap, images: int) -> Tap:
        """The tap that has `tap` see the rows with prompts alone, the last `images` of a batch."""
        if self.kind != "classifier-free":
            return tap

        def on_prompts(site: Site, z: Tensor) -> Tensor:
            rows = z[-images:]
            result = tap(site, rows)
            return z if result is rows else torch.cat([z[:-images], result])

        return on_prompts

    def inputs(
        self, latents: Float[Tensor, "images channels rows columns"]
    ) -> Float[Tensor, "inputs channels rows columns"]:
        """The denoiser's inputs, a row for each row of `encode`."""
        return torch.cat([latents] * 2) if self.kind == "classifier-free" else latents

    def embed(self, network: nn.Module, images: int) -> nn.Module:
        """The denoiser, with guidance among its inputs if it takes it there."""
        if self.kind != "embedded":
            return network
        weight = next(network.parameters())
        scale = torch.full([1], self.scale, dtype=torch.float32, device=weight.device)
        scale = scale.expand(images)
        if self.factor:
            scale = scale.to(weight.dtype) * self.factor
        return cast(nn.Module, partial(cast(Callable[..., Any], network), guidance=scale))

    def combine(
        self, answer: Float[Tensor, "inputs channels rows columns"]
    ) -> Float[Tensor, "images channels rows columns"]:
        """The guided prediction."""
        if self.kind != "classifier-free":
            return answer
        negative, prompted = answer.chunk(2)
        if self.formula == "added":
            return prompted + self.scale * (prompted - negative)
        combined = negative + self.scale * (prompted - negative)
        if self.formula != "rescaled":
            return combined
        own, other = (
            torch.linalg.vector_norm(nn.functional.pixel_unshuffle(each, 2), dim=1, keepdim=True)
            for each in (prompted, combined)
        )
        return combined * nn.functional.interpolate(own / other, scale_factor=2, mode="nearest")


def is_embedded(preset: Preset) -> bool:
    """True if a preset has guidance, and its family takes it as an input of the denoiser."""
    return bool(preset.guidance) and preset.family.removesuffix(TINY) in EMBEDDED_GUIDANCE


def takes_input(preset: Preset, config: Mapping[str, Any]) -> bool:
    """True if the denoiser with these settings has guidance among its inputs, for the caller to
    give it."""
    return preset.family.removesuffix(TINY) in EMBEDDED_GUIDANCE and bool(
        config.get("guidance_embeds")
    )


def of(preset: Preset, *, denoiser: Mapping[str, Any], pipeline: Mapping[str, Any]) -> Guidance:
    """The guidance of a preset.

    Args:
        denoiser: settings of the denoiser.
        pipeline: settings of the pipeline, as far as they are known.

    Raises:
        UsageError: for guidance that the denoiser cannot have.
    """
    family = preset.family.removesuffix(TINY)
    if family in EMBEDDED_GUIDANCE:
        is_input = takes_input(preset, denoiser)
        if preset.guidance and not is_input:
            raise UsageError(
                f"{preset.name} has no guidance: its denoiser takes none, not {preset.guidance:g}",
                remedy="Write guidance = 0 in its card.",
            )
        if preset.negative_prompt is not None:
            raise UsageError(
                f"{preset.name} takes no negative prompt: its guidance is an input of its denoiser",
                remedy="Leave negative_prompt out of its card.",
            )
        return Guidance(
            kind="embedded" if is_input else "none",
            scale=preset.guidance or _PUBLISHED.get(family, 0.0),
            factor=denoiser.get("guidance_embeds_scale", 0.0),
        )
    if preset.guidance <= (0 if family in ADDED_GUIDANCE else 1):
        return Guidance(kind="none")
    if pipeline.get("is_distilled"):
        raise UsageError(
            f"{preset.name} has no guidance: its pipeline says that it is distilled, so that "
            f"diffusers would ignore {preset.guidance:g}",
            remedy="Write guidance = 0 in its card.",
        )
    zeros = pipeline.get("force_zeros_for_empty_prompt", True)
    given = preset.negative_prompt
    return Guidance(
        kind="classifier-free",
        scale=preset.guidance,
        formula=_FORMULAS.get(family, ""),
        negative_prompt=_NEGATIVE_PROMPTS.get(family, "") if given is None else given,
        has_zeros=bool(family in _ZEROED and zeros and given is None),
    )
