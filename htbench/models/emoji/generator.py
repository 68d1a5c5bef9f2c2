"""The embedded text-to-image network: one step from noise and words to an image.

It is a small relative of Nitro-1-PixArt: a PixArt transformer at a fixed timestep and a T5 encoder,
of diffusers' and transformers' own classes. The noise is a latent of 8 x 8 cells, and a cell's
output is its 8 x 8 pixels with a rim around them, which is mixed with those of its neighbours: the
decoder has no weights. Scenes are aligned with the grid of cells, and a convolutional decoder
trained more slowly without being sharper.

Word embeddings have an embedding of the word's role in the caption added: without it the network
took thousands of steps to distinguish the noun from its companion. The transformer gets the
encoding of each word several times, each time with another learnt appearance of the word, so that a
cell finds by attention the part that it has to draw.
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
from htbench.models.emoji.canvas import SIZE
from htbench.models.emoji.scenes import LATENT
from htbench.models.emoji.worlds import SHIPPED

TIMESTEP = 400  # Nitro-1's
WIDTH, HEADS, BLOCKS = 192, 6, 8
PARTS = 2
"""A word has `PARTS` x `PARTS` appearances: a noun's are of the quarters of its drawings."""
CELL = SIZE // LATENT[1]


@dataclass(frozen=True, kw_only=True)
class CaptionEmbeds:
    """Encoded prompts."""

    states: Float[Tensor, "prompts words width"]
    mask: Bool[Tensor, "prompts words"]

    def __getitem__(self, rows: Sequence[int]) -> "CaptionEmbeds":
        index = torch.as_tensor(rows, device=self.states.device)
        return CaptionEmbeds(states=self.states[index], mask=self.mask[index])


class JoinCells(nn.Module):
    """Turns the drawings of cells, which overlap by twice the rim, into images.

    Where drawings overlap, one fades linearly into the other. A step between two drawings of the
    same shift is spread over `2 * rim` pixels.
    """

    weights: Tensor
    total: Tensor

    def __init__(self, rim: int) -> None:
        super().__init__()
        self.rim, self.side = rim, CELL + 2 * rim
        ramp = ((torch.arange(self.side) + 0.5) / (2 * rim)).clamp(max=1)
        window = torch.minimum(ramp, ramp.flip(0))
        weights = window.outer(window).flatten()[:, None]
        self.register_buffer("weights", weights, persistent=False)
        every = weights.expand(-1, (SIZE // CELL) ** 2)[None]
        self.register_buffer("total", self._fold(every), persistent=False)

    def forward(
        self, cells: Float[Tensor, "images channels 8 8"]
    ) -> Float[Tensor, "images rgb 64 64"]:
        if not self.rim:
            return nn.functional.pixel_shuffle(cells, CELL)
        exact = cells.to(torch.promote_types(cells.dtype, torch.float32))
        drawings = exact.reshape(len(cells), 3, self.side**2, -1) * self.weights
        return self._fold(drawings.flatten(1, 2)) / self.total

    def _fold(self, drawings: Float[Tensor, "images values cells"]) -> Tensor:
        return nn.functional.fold(drawings, SIZE, self.side, padding=self.rim, stride=CELL)


class Generator(nn.Module):
    """The network from words and noise to images.

    Each cell is drawn with `rim` pixels beyond its own on every side.
    """

    def __init__(self, *, rim: int = SHIPPED.rim) -> None:
        super().__init__()
        self.join_cells = JoinCells(rim)
        self.text_encoder = T5EncoderModel(
            T5Config(
                vocab_size=vocabulary.size(),
                d_model=WIDTH,
                d_kv=32,
                num_heads=HEADS,
                d_ff=512,
                num_layers=2,
                feed_forward_proj="gated-gelu",
                dropout_rate=0.0,
            )
        )
        self.transformer = PixArtTransformer2DModel(
            sample_size=LATENT[1],
            patch_size=1,
            in_channels=LATENT[0],
            out_channels=3 * (CELL + 2 * rim) ** 2,
            num_layers=BLOCKS,
            num_attention_heads=HEADS,
            attention_head_dim=WIDTH // HEADS,
            cross_attention_dim=WIDTH,
            caption_channels=WIDTH,
            use_additional_conditions=False,
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
        )
        # PyTorch's fused attention takes a third of a training step on a CPU.
        self.transformer.set_attn_processor(AttnProcessor())
        self.role = nn.Embedding(vocabulary.ROLES, WIDTH)
        self.looks = nn.Embedding(vocabulary.size(), PARTS**2 * WIDTH)
        self.part = nn.Embedding(PARTS**2, WIDTH)

    def encode(self, prompts: Sequence[str]) -> CaptionEmbeds:
        """Encode prompts, which need not be grammatical; all unknown words share one token."""
        tokens = vocabulary.tokenise(prompts).to(self.text_encoder.device)
        mask = tokens != vocabulary.PAD
        mask[:, 0] = True
        embedded = self.text_encoder.shared(tokens) + self.role(vocabulary.roles(tokens))
        output = self.text_encoder(inputs_embeds=embedded, attention_mask=mask)
        states = (
            output.last_hidden_state[:, :, None]
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
        pixels: Tensor = self.join_cells(cells)
        return pixels
