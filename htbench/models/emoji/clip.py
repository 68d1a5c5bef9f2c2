"""The two embedded CLIPs, of open_clip's own classes: `a` embeds concepts, `b` scores images.

They share only the distribution of scenes: widths, depths, pooling and seeds differ, and so do the
scenes and their order.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from open_clip import CLIP
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from htbench.models.emoji import vocabulary
from htbench.models.emoji.canvas import SIZE

NAMES = ("clip-a", "clip-b")


def build(name: str) -> CLIP:
    """An untrained CLIP of architecture `name`."""
    words = {"context_length": vocabulary.MAX_LENGTH + 1, "vocab_size": vocabulary.size() + 1}
    if name == "clip-a":
        vision = CLIPVisionCfg(layers=5, width=128, head_width=32, patch_size=8, image_size=SIZE)
        return CLIP(192, vision, CLIPTextCfg(layers=3, width=128, heads=4, **words))
    vision = CLIPVisionCfg(
        layers=6, width=192, head_width=64, patch_size=8, image_size=SIZE, pool_type="avg"
    )
    return CLIP(256, vision, CLIPTextCfg(layers=2, width=160, heads=5, **words))


def tokenise(texts: Sequence[str]) -> Int[Tensor, "texts words"]:
    """Tokens with an end mark, the highest number, at which CLIP's text tower is pooled."""
    tokens = torch.nn.functional.pad(vocabulary.tokenise(texts), (0, 1))
    ends = (tokens != vocabulary.PAD).sum(1)
    tokens[torch.arange(len(tokens)), ends] = vocabulary.size()
    return tokens


def encode_text(
    network: CLIP, tokens: Int[Tensor, "texts words"]
) -> Float[Tensor, "texts features"]:
    """The result of `network.encode_text`, normalised, also for tokens cut after the longest text.

    Attention is causal, so padding does not change it.
    """
    length = tokens.shape[1]
    words = network.token_embedding(tokens) + network.positional_embedding[:length]
    states = network.ln_final(
        network.transformer(words, attn_mask=network.attn_mask[:length, :length])
    )
    last = states[torch.arange(len(tokens)), tokens.argmax(1)]
    return torch.nn.functional.normalize(last @ network.text_projection, dim=-1)


def blur_and_noise(
    pixels: Float[Tensor, "images rgb rows columns"], generator: torch.Generator
) -> Float[Tensor, "images rgb rows columns"]:
    """Images with random amounts of blur and noise, so that a CLIP also reads imperfect images."""
    blurred = torch.nn.functional.avg_pool2d(
        torch.nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )
    amount, noise = torch.rand(2, len(pixels), 1, 1, 1, generator=generator)
    softened: Tensor = pixels.lerp(blurred, amount) + 0.1 * noise * torch.randn(
        pixels.shape, generator=generator
    )
    return softened
