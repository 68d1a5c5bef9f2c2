"""The embedded text-to-image network: noise and words to an image in one step, of the same kind as Nitro-1-PixArt.

A PixArt transformer at a fixed timestep and a small T5 encoder, diffusers' and transformers' own classes. The noise is a latent of
8 x 8 cells; a cell's output is its 8 x 8 pixels, so the decoder is a pixel shuffle and has no weights: scenes stand on the grid
of cells, and a convolutional decoder learnt slower without being sharper. Word embeddings carry a mark for their role in the caption:
without it the network took thousands of steps to tell the noun from its companion. What the encoder makes of a word is given to the
transformer several times, each time with other looks of the word, so that a cell finds the part that it has to draw by attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import PixArtTransformer2DModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from htbench.models.emoji import vocabulary
from htbench.models.emoji.scenes import LATENT, SIZE

TIMESTEP = 400  # as Nitro-1's
WIDTH, HEADS, BLOCKS = 192, 6, 8
PARTS = 2
"""A word has `PARTS` x `PARTS` looks: of a noun, those of the quarters of its drawings."""
CELL = SIZE // LATENT[1]


@dataclass(frozen=True, kw_only=True)
class CaptionEmbeds:
    """Encoded prompts."""

    states: Float[Tensor, "prompts words width"]
    mask: Bool[Tensor, "prompts words"]

    def __getitem__(self, rows: Sequence[int]) -> "CaptionEmbeds":
        index = torch.as_tensor(rows, device=self.states.device)
        return CaptionEmbeds(states=self.states[index], mask=self.mask[index])


class Generator(nn.Module):
    """Words and noise to images."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = T5EncoderModel(
            T5Config(
                vocab_size=vocabulary.size(), d_model=WIDTH, d_kv=32, num_heads=HEADS, d_ff=512, num_layers=2,
                feed_forward_proj="gated-gelu", dropout_rate=0.0,
            )
        )  # fmt: skip
        self.transformer = PixArtTransformer2DModel(
            sample_size=LATENT[1], patch_size=1, in_channels=LATENT[0], out_channels=3 * CELL**2, num_layers=BLOCKS,
            num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, cross_attention_dim=WIDTH, caption_channels=WIDTH,
            use_additional_conditions=False, norm_type="ada_norm_single", norm_elementwise_affine=False,
        )  # fmt: skip
        self.transformer.set_attn_processor(
            AttnProcessor()
        )  # PyTorch's fused attention takes a third of a training step on a CPU
        self.role = nn.Embedding(vocabulary.ROLES, WIDTH)
        self.looks = nn.Embedding(vocabulary.size(), PARTS**2 * WIDTH)
        self.part = nn.Embedding(PARTS**2, WIDTH)

    def encode(self, prompts: Sequence[str]) -> CaptionEmbeds:
        """Encode prompts, which need not be grammatical; unknown words count as one and the same."""
        tokens = vocabulary.tokenise(prompts).to(self.text_encoder.device)
        mask = tokens != vocabulary.PAD
        mask[:, 0] = True
        embedded = self.text_encoder.shared(tokens) + self.role(vocabulary.roles(tokens))
        read = self.text_encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        states = (
            read[:, :, None]
            + self.looks(tokens).unflatten(-1, (PARTS**2, WIDTH))
            + self.part.weight
        )
        return CaptionEmbeds(states=states.flatten(1, 2), mask=mask.repeat_interleave(PARTS**2, 1))

    def forward(
        self, latents: Float[Tensor, "images 4 8 8"], embeds: CaptionEmbeds
    ) -> Float[Tensor, "images rgb 64 64"]:
        """Images from about -1 (black) to 1 (white), not clamped."""
        cells = self.transformer(
            latents,
            encoder_hidden_states=embeds.states,
            encoder_attention_mask=embeds.mask.to(embeds.states.dtype),
            timestep=torch.full((len(latents),), TIMESTEP, device=latents.device),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample
        return nn.functional.pixel_shuffle(cells, CELL)
