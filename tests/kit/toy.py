"""The smallest honest model: two sites, one of each channel axis, on a CPU in milliseconds."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor, nn

from htbench.core.content import digest
from htbench.core.types import Site, SiteInfo
from htbench.steering.hooks import SteeredModules, check_sites, steer
from htbench.steering.model import Request, Tap, check_finite

TOKENS, MAPS = Site("tokens.norm"), Site("maps.norm")
SIDE, WIDTH, DEPTH = 4, 6, 8


class Network(nn.Module):
    """Tokens of noise and words to pixels, through a LayerNorm and then a GroupNorm of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.ModuleDict({"enter": nn.Linear(WIDTH, WIDTH), "norm": nn.LayerNorm(WIDTH)})
        self.maps = nn.ModuleDict(
            {"enter": nn.Conv2d(WIDTH, DEPTH, 3, padding=1), "norm": nn.GroupNorm(2, DEPTH)}
        )
        self.leave = nn.Conv2d(DEPTH, 3, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(images, positions, channels) to (images, rgb, rows, columns), from 0 to 1."""
        tokens = self.tokens["norm"](self.tokens["enter"](tokens).tanh())
        maps = tokens.transpose(1, 2).unflatten(2, (SIDE, SIDE))
        return self.leave(self.maps["norm"](self.maps["enter"](maps)).tanh()).sigmoid()


class Toy:
    """A text-to-image model whose pictures have 4 x 4 pixels."""

    name = "toy"
    revision = digest("toy 1")
    sites: Mapping[Site, SiteInfo] = MappingProxyType(
        {
            TOKENS: SiteInfo(channels=WIDTH, channel_axis=-1),
            MAPS: SiteInfo(channels=DEPTH, channel_axis=1),
        }
    )
    device = "cpu"
    concept_encoder = "emoji-clip-a"
    scorer = "emoji-clip-b"

    def __init__(self, *, steps: int = 1) -> None:
        self.steps = steps
        self.network = Network().requires_grad_(False)
        for k, weight in enumerate(self.network.parameters()):
            weight.copy_(_noise(k, weight.shape))
        modules = {site: self.network.get_submodule(site) for site in self.sites}
        self._steered = SteeredModules(modules, self.sites)

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        interventions = [request.intervention for request in requests]
        check_sites(self, interventions)
        prompts = [
            request.intervention.prompts(request.prompt, strength=request.strength)
            for request in requests
        ]
        seeds = [request.seed for request in requests]
        tap = steer(interventions, [request.strength for request in requests])
        with torch.no_grad():
            pixels = self._run(prompts, seeds, tap)
        check_finite(pixels)
        levels = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(level) for level in levels]

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        self._run([{prompt: 1.0} for prompt in prompts], seeds, tap)

    def synchronise(self) -> None:
        pass

    def _run(
        self, prompts: Sequence[Mapping[str, float]], seeds: Sequence[int], tap: Tap
    ) -> Tensor:
        noise = torch.stack([_noise(seed, (SIDE**2, WIDTH)) for seed in seeds])
        words = torch.stack(
            [
                sum(weight * _words(prompt) for prompt, weight in weights.items())
                for weights in prompts
            ]
        )
        tokens = (noise + words[:, None]).to(self.network.leave.weight.dtype)
        with self._steered.attach(tap):
            for _ in range(self.steps):
                pixels: Tensor = self.network(tokens)
                tokens = tokens + pixels.mean(1).flatten(1)[..., None]
        return pixels


def _noise(seed: int, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def _words(prompt: str) -> Tensor:
    return torch.stack(
        [_noise(int(digest(word), 16) % 2**63, (WIDTH,)) for word in prompt.split()]
    ).mean(0)
