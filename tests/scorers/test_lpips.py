"""LPIPS with a random AlexNet, against its formula."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.scorer_cards import scorer_input, with_weights
from PIL import Image

LAYERS = {1: 0, 4: 1, 7: 2, 9: 3, 11: 4}
"""Heads by the number of AlexNet's layer that they weigh."""


def test_lpips_is_the_weighted_distance_of_normalised_activations(pictures: Path) -> None:
    from torchmetrics.functional.image import lpips
    from torchvision.models import alexnet

    torch.manual_seed(0)
    trunk = alexnet(weights=None).features.eval()
    weights = {f"features.{name}": weight for name, weight in trunk.state_dict().items()}
    torch.save(weights, pictures / "alexnet-owt-7be5be79.pth")
    distance = with_weights(pictures, "lpips-alex", "lower")
    same, other, odd = distance.measure(
        [scorer_input("", pictures, name) for name in ("a.png", "b.png", "small.png")]
    )
    heads = torch.load(
        Path(lpips.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu"
    )
    mean, std = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    images = [torch.from_numpy(np.array(Image.open(pictures / f"{name}.png"))) for name in "ab"]
    features = torch.stack([(image / 127.5 - 1 - mean) / std for image in images])
    features = features.permute(0, 3, 1, 2)
    expected = 0.0
    with torch.no_grad():
        for k, layer in enumerate(trunk):
            features = layer(features.clone())
            if (head := LAYERS.get(k)) is not None:
                unit = features / ((features.square().sum(1, keepdim=True) + 1e-8).sqrt())
                squares = (unit[0] - unit[1]).square() * heads[f"lin{head}.model.1.weight"][0]
                expected += float(squares.sum(0).mean())
    assert same == 0
    assert other == pytest.approx(expected, rel=1e-5)
    assert "differ in size" in str(odd)
