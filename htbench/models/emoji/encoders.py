"""The embedded CLIPs as encoders."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from htbench.models.emoji import clip, vocabulary
from htbench.models.emoji.canvas import SIZE
from htbench.models.emoji.pretrained import restore
from htbench.steering.encoder import ClipEncoder


class EmojiEncoder(ClipEncoder):
    """An embedded CLIP: all words that it does not know share one token."""

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the encoder has never seen, in their order."""
        return vocabulary.unknown_words(text)


def load_a(device: str) -> ClipEncoder:
    """CLIP `a`, with which hypernetworks embed concepts."""
    return _load("clip-a", device)


def load_b(device: str) -> ClipEncoder:
    """CLIP `b`, which scores images."""
    return _load("clip-b", device)


def _load(name: str, device: str) -> ClipEncoder:
    network = clip.build(name)
    revision = restore(network, name)
    return EmojiEncoder(
        f"emoji-{name}",
        revision,
        network,
        width=network.text_projection.shape[-1],
        preprocess=_preprocess,
        tokenise=clip.tokenise,
        device=device,
        tokens=lambda text: [*vocabulary.split(text), "."],
        context_length=vocabulary.MAX_LENGTH + 1,
    )


def _preprocess(image: Image.Image) -> Tensor:
    small = image.convert("RGB")
    if small.size != (SIZE, SIZE):
        small = small.resize((SIZE, SIZE), Image.Resampling.BOX)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1
