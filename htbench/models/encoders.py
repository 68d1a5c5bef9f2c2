"""Published encoders: a CLIP with which hypernetworks embed concepts, and a SigLIP that scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core import content
from htbench.core.errors import Missing, Refused
from htbench.core.types import Digest
from htbench.core.weights import HubFiles, fingerprint

if TYPE_CHECKING:
    from open_clip import CLIP
    from torch import Tensor

    from htbench.steering.encoder import ClipEncoder


@dataclass(frozen=True, kw_only=True)
class PublishedEncoder:
    """An open_clip model with published weights; called with a device it returns the encoder."""

    name: str
    architecture: str
    source: HubFiles
    """The first file has the weights; further ones are those of the tokeniser."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str = "shortest"
    """Treatment of images that are not square: `shortest` crops, `squash` distorts."""
    context_length: int = 77
    """Longest text, in tokens."""
    random_weights: bool = False
    """Use the published architecture with random weights: valid for time and memory alone."""

    def __call__(self, device: str) -> "ClipEncoder":
        """The encoder on `device`.

        Raises:
            Missing: if the weights are not on this machine.
            Refused: if they are damaged, or another model's.
        """
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        from htbench.steering.encoder import ClipEncoder

        clip, revision, folder = (
            self._draw_random(device) if self.random_weights else self._load_published()
        )
        clip = clip.to(device)
        prepare = image_transform_v2(
            PreprocessCfg(
                size=clip.visual.image_size, mean=self.mean, std=self.std, resize_mode=self.resize
            ),
            is_train=False,
        )
        tokenise, tokens = self._tokeniser(folder)
        with torch.no_grad():
            width = clip.encode_text(tokenise(["width"]).to(device)).shape[-1]
        return ClipEncoder(
            self.name,
            revision,
            clip,
            width=width,
            preprocess=prepare,
            tokenise=tokenise,
            device=device,
            tokens=tokens,
            context_length=self.context_length,
        )

    def missing(self) -> list[str]:
        """Repositories whose files are not on this machine."""
        return [] if self.random_weights or self.source.find() else [self.source.repository]

    def fetch(self) -> dict[str, Path]:
        """Download what is missing and check it; returns the folder of the repository."""
        if self.random_weights:
            return {}
        folder = self.source.download()
        self("cpu")
        return {self.source.repository: folder}

    def _load_published(self) -> "tuple[CLIP, Digest, Path]":
        import open_clip
        from safetensors import SafetensorError

        folder = self.source.find()
        if folder is None:
            raise Missing(
                f"the weights of {self.name} are not on this machine: {self.source.repository}",
                remedy=f"Get them: htbench fetch --encoder {self.name}",
            )
        path = folder / self.source.files[0]
        try:
            clip = open_clip.create_model(self.architecture, pretrained=str(path))
        except (SafetensorError, RuntimeError, EOFError) as error:
            raise Refused(
                f"weights {str(path)!r} cannot be read: {' '.join(str(error).split())[:160]}",
                remedy="Delete them and get them again.",
            ) from None
        return clip, fingerprint(path), folder

    def _draw_random(self, device: str) -> "tuple[CLIP, Digest, Path]":
        """Weights drawn on `device`, of whose kind the revision is."""
        import open_clip
        import torch

        from htbench.models import random_weights

        settings = open_clip.get_model_config(self.architecture)
        clip = random_weights.draw(lambda: open_clip.CLIP(**settings), device)
        drawn = ["random", random_weights.VERSION, torch.device(device).type]
        return clip, content.digest([self.architecture, *drawn]), Path()

    def _tokeniser(
        self, folder: Path
    ) -> "tuple[Callable[[Sequence[str]], Tensor], Callable[[str], Sequence[object]]]":
        """The tokeniser, and the tokens of a text that is not cut, with its marks."""
        from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

        if len(self.source.files) > 1:
            hf = HFTokenizer(str(folder), context_length=self.context_length, clean="canonicalize")
            return lambda texts: hf(list(texts)), lambda text: list(
                hf.tokenizer(hf.clean_fn(text), verbose=False).input_ids
            )
        simple = SimpleTokenizer(context_length=self.context_length)
        return lambda texts: simple(list(texts)), lambda text: [
            simple.sot_token_id,
            *simple.encode(text),
            simple.eot_token_id,
        ]


clip_vit_l_14 = PublishedEncoder(
    name="clip-vit-l-14",
    architecture="ViT-L-14-quickgelu",
    source=HubFiles(
        repository="timm/vit_large_patch14_clip_224.openai", files=("open_clip_model.safetensors",)
    ),
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
clip_vit_l_14_random = replace(clip_vit_l_14, name="clip-vit-l-14-random", random_weights=True)
siglip_vit_b_16 = PublishedEncoder(
    name="siglip-vit-b-16",
    architecture="ViT-B-16-SigLIP",
    source=HubFiles(
        repository="timm/ViT-B-16-SigLIP",
        files=("open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    ),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    resize="squash",
    context_length=64,
)
