"""The training of the embedded generator: its loss, and its weights before the first step."""

import torch
from jaxtyping import Float
from open_clip import CLIP
from torch import Tensor, nn

from htbench.core import device
from htbench.models.emoji.generator import PARTS, WIDTH, Generator
from htbench.models.emoji.initial_words import initial_word_vectors
from htbench.models.emoji.sampling import (
    GENERATOR_FINISH_PROBABILITIES,
    GENERATOR_LATE_PROBABILITIES,
    PROBABILITIES,
    sample_batch,
)
from htbench.steering.fitting.trainer import Recipe


def untrained_generator() -> Generator:
    """A generator with random weights, except for the embeddings of `initial_word_vectors`."""
    network = Generator()
    with torch.no_grad():
        tokens, vectors = initial_word_vectors(WIDTH, parts=PARTS)
        network.looks.weight[tokens] = vectors
    return network


class GeneratorTask:
    """The regression of true images on noise and caption, which determine them: no diffusion.

    From the share `late_from` of the steps on, scenes have more styles and backgrounds. With a
    `critic` the loss has a perceptual part, the distance of generated and true images in
    that CLIP, since they have to agree in what distinguishes nouns and not only in pixels.

    References:
        Johnson et al. Perceptual Losses for Real-Time Style Transfer and Super-Resolution. 2016.
        https://arxiv.org/abs/1603.08155
    """

    def __init__(
        self,
        network: Generator,
        recipe: Recipe,
        device: torch.device,
        *,
        critic: CLIP | None = None,
        late_from: float = 0.5,
    ) -> None:
        self.network = network.to(device)
        self.recipe, self.device, self.late_from = recipe, device, late_from
        self.critic = critic.to(device).requires_grad_(False) if critic else None
        if critic:
            critic.visual.output_tokens = True

    def loss(self, step: int) -> Tensor:
        early = step < self.late_from * self.recipe.steps
        probabilities = PROBABILITIES if early else GENERATOR_LATE_PROBABILITIES
        if self.critic:
            probabilities = GENERATOR_FINISH_PROBABILITIES
        batch = sample_batch(self.recipe.seed, step, self.recipe.batch, probabilities)
        pixels = batch.pixels.to(self.device)
        with device.autocast_bfloat16(str(self.device)):
            embeds = self.network.encode(batch.captions)
            generated = self.network(batch.latents.to(self.device), embeds).float()
            half = len(generated) // 2  # enough for the critic, and a shorter step
            perceptual = (
                perceptual_distance(self.critic, generated[:half], pixels[:half])
                if self.critic
                else 0.0
            )
        error: Tensor = generated - pixels
        return error.abs().mean() + error.square().mean() + 0.3 * perceptual

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return weight.ndim == 2 and not any(part in name for part in _NOT_HIDDEN)


_NOT_HIDDEN = (
    "embed", "shared", "proj_out", "scale_shift", "relative", "adaln", "caption_projection",
    "role", "looks", "part",
)  # fmt: skip
"""Parts of the names of the generator's weights that AdamW trains, not Muon."""


def perceptual_distance(
    critic: CLIP,
    generated: Float[Tensor, "images rgb rows columns"],
    true: Float[Tensor, "images rgb rows columns"],
) -> Tensor:
    """Cosine distance of a CLIP's embeddings of the images plus that of its cells: 0 to 4.

    The critic must return the embeddings of its cells too (`output_tokens`).
    """
    with torch.no_grad():
        target = critic.visual(true)
    distances = (
        1 - nn.functional.cosine_similarity(x.float(), y.float(), dim=-1).mean()
        for x, y in zip(critic.visual(generated), target, strict=True)
    )
    return sum(distances, torch.zeros(()))
