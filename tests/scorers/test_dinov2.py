"""DINOv2 with random weights, against the network itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.scorer_cards import scorer_input, with_weights
from PIL import Image


def test_dinov2_is_the_cosine_of_class_tokens(pictures: Path) -> None:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    network = Dinov2Model(config).eval()
    network.save_pretrained(pictures)
    BitImageProcessor(
        size={"shortest_edge": 56},
        crop_size={"height": 56, "width": 56},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(pictures)
    dino = with_weights(pictures, "dinov2-small", "higher")
    same, other = dino.measure([scorer_input("", pictures), scorer_input("", pictures, "b.png")])
    small = [
        Image.open(pictures / f"{name}.png").resize((56, 56), Image.Resampling.BICUBIC)
        for name in "ab"
    ]
    pixels = torch.stack([torch.from_numpy(np.array(image)) / 127.5 - 1 for image in small])
    with torch.no_grad():
        tokens = network(pixels.permute(0, 3, 1, 2)).last_hidden_state[:, 0]
    cosine = float(torch.cosine_similarity(tokens[0], tokens[1], dim=0))
    assert same == pytest.approx(1, abs=1e-5)
    assert other == pytest.approx(cosine, abs=0.02)
    assert dino.card.better == "higher"
