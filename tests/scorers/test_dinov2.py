"""DINOv2 with random weights, against the network itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.scorer_cards import scorer_input, with_weights
from PIL import Image
from torchvision.transforms.functional import normalize


@pytest.fixture
def network(pictures: Path) -> torch.nn.Module:
    """A small DINOv2 whose weights are beside the pictures."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    network = Dinov2Model(config).eval()
    network.save_pretrained(pictures)
    return network


def test_dinov2_is_the_cosine_of_class_tokens_of_whole_pictures(
    pictures: Path, network: torch.nn.Module
) -> None:
    dino = with_weights(pictures, "dinov2-small", "higher")
    same, other = dino.measure([scorer_input("", pictures), scorer_input("", pictures, "b.png")])
    large = [
        Image.open(pictures / f"{name}.png").resize((224, 224), Image.Resampling.BICUBIC)
        for name in "ab"
    ]
    pixels = torch.stack([torch.from_numpy(np.array(image)) / 255 for image in large])
    pixels = normalize(pixels.permute(0, 3, 1, 2), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        tokens = network(pixels).last_hidden_state[:, 0]
    cosine = float(torch.cosine_similarity(tokens[0], tokens[1], dim=0))
    assert same == pytest.approx(1, abs=1e-5)
    assert other == pytest.approx(cosine, abs=1e-5)
    assert dino.card.better == "higher"


def test_the_edge_of_a_picture_counts(pictures: Path, network: torch.nn.Module) -> None:
    framed = Image.open(pictures / "a.png")
    framed.paste("white", (0, 0, 64, 3))
    framed.save(pictures / "b.png")
    dino = with_weights(pictures, "dinov2-small", "higher")
    (cosine,) = dino.measure([scorer_input("", pictures, "b.png")])
    assert cosine < 1 - 1e-5
