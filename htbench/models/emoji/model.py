"""The embedded model: 64 x 64 scenes of emoji in one step, without downloads, on any machine."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from htbench.core import content, threads
from htbench.core.phase import phase
from htbench.core.types import Site, SiteInfo
from htbench.models.emoji import vocabulary
from htbench.models.emoji.generator import CaptionEmbeds, Generator
from htbench.models.emoji.pretrained import restore
from htbench.models.emoji.scenes import LATENT
from htbench.steering import hooks
from htbench.steering.model import Request, Tap, check_finite


class EmojiModel:
    """Implements `htbench.steering.model.Model`."""

    name = "emoji"
    concept_encoder = "emoji-clip-a"
    scorer = "emoji-clip-b"
    detector = "emoji-detector"
    context_length = vocabulary.MAX_LENGTH + 1

    def __init__(self, device: str) -> None:
        self.device = device
        self._network = Generator()
        weights = restore(self._network, "generator")
        self._network.to(device).eval().requires_grad_(False)
        self.revision = content.digest(["emoji", 1, weights])
        self._weights = sum(weight.numel() for weight in self._network.transformer.parameters())
        modules: dict[Site, nn.Module] = {
            Site(f"transformer.{name}"): module
            for name, module in self._network.transformer.named_modules()
            if name.rpartition(".")[2] in ("norm1", "norm2", "norm_out")
        }
        width = self._network.transformer.inner_dim
        self.sites: Mapping[Site, SiteInfo] = {
            site: SiteInfo(channels=width, channel_axis=-1) for site in modules
        }
        self._steered = hooks.SteeredModules(modules, self.sites)
        self._prompt_embeds: dict[str, CaptionEmbeds] = {}

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        changes = [request.intervention for request in requests]
        hooks.check_sites(self, changes)
        strengths = [request.strength for request in requests]
        prompts = [
            change.prompts(request.prompt, strength=request.strength)
            for change, request in zip(changes, requests, strict=True)
        ]
        with self._steered.attach(hooks.steer(changes, strengths)):
            pixels = self._run(prompts, [request.seed for request in requests])
        check_finite(pixels)
        levels = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        # turned on the device: PIL would take each image apart, 5 ms for 1024 pixels
        rows = levels.permute(0, 2, 3, 1).contiguous().cpu()
        return [Image.fromarray(array) for array in rows.numpy()]

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        with self._steered.attach(tap):
            self._run([{prompt: 1.0} for prompt in prompts], seeds)

    def synchronise(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def unknown_words(self, text: str) -> list[str]:
        return vocabulary.unknown_words(text)

    def vocabulary(self) -> Mapping[str, Sequence[str]]:
        return vocabulary.groups()

    def tokens(self, text: str) -> list[str]:
        return [*vocabulary.split(text), "."]

    def forget_prompts(self) -> None:
        self._prompt_embeds.clear()

    def _run(
        self, prompts: Sequence[Mapping[str, float]], seeds: Sequence[int]
    ) -> Float[Tensor, "images rgb 64 64"]:
        noise = [
            torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)) for seed in seeds
        ]
        embeds = [self._mix(weights) for weights in prompts]
        encoded = CaptionEmbeds(
            states=torch.cat([words.states for words in embeds]),
            mask=torch.cat([words.mask for words in embeds]),
        )
        work = len(seeds) * LATENT[1] * LATENT[2] * self._weights
        with threads.for_work(work, self.device):
            pixels: Tensor = self._network(torch.stack(noise).to(self.device), encoded)
            return pixels.float()

    def _mix(self, weights: Mapping[str, float]) -> CaptionEmbeds:
        """Weighted sum of encoded prompts, all padded to one length; masks are combined by `or`."""
        embeds = [self._encode(prompt) for prompt in weights]
        if list(weights.values()) == [1.0]:
            return embeds[0]
        pairs = zip(weights.values(), embeds, strict=True)
        states = torch.stack([weight * words.states for weight, words in pairs]).sum(0)
        mask = torch.stack([words.mask for words in embeds]).any(0)
        return CaptionEmbeds(states=states, mask=mask)

    def _encode(self, prompt: str) -> CaptionEmbeds:
        """The encoding of a prompt, calculated once, alone and in float32.

        So it depends neither on its neighbours nor on the first caller. It is an ordinary tensor
        even when images are generated: gradients cannot pass a tensor of inference mode.
        """
        if prompt not in self._prompt_embeds:
            float32 = torch.autocast(torch.device(self.device).type, enabled=False)
            with phase("encode-prompts"), torch.inference_mode(False), torch.no_grad(), float32:
                self._prompt_embeds[prompt] = self._network.encode([prompt])
        return self._prompt_embeds[prompt]


def load(device: str) -> EmojiModel:
    """The embedded model on `device`."""
    return EmojiModel(device)
