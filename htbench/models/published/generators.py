"""The published few-step generators that can be steered; torch is imported when one is called."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.weights import HubFiles, LocalFiles
from htbench.models.published.preset import TINY, Preset

if TYPE_CHECKING:
    from htbench.models.published.adapter import FewStepModel
    from htbench.models.published.footprint import FakeModel


@dataclass(frozen=True, kw_only=True)
class PublishedGenerator(Preset):
    """A preset that returns the model when it is called with a device and options."""

    def __call__(self, device: str, *, weights: str = "hub", **others: object) -> "FewStepModel":
        """The model on `device`; on `meta` its tensors have no data.

        `others` are further fields of `LoadOptions`. Concepts of a tiny model are read and its
        images scored by the encoders of the embedded model, which are as quick.

        Raises:
            UnknownName: for an option that does not exist.
            UsageError: for a value that an option cannot have.
            Missing: if weights are not on this machine, or memory is too small.
        """
        if weights == "tiny":
            model = self._tiny()(device, weights="random", **others)
            model.concept_encoder, model.scorer = "emoji-clip-a", "emoji-clip-b"
            return model
        options = self.options(weights=weights, **others)
        from htbench.models.published.adapter import load

        return load(self, options, device)

    def _tiny(self) -> "PublishedGenerator":
        """The generator with few channels and small images, in a number format of any device."""
        return replace(self, family=f"{self.family}{TINY}", dtype="float32", size=64)

    def sketch(self, **options: str) -> "FewStepModel":
        """The model without data: its sites and facts need neither weights nor memory."""
        return self("meta", **options)

    def needs(self, **options: str) -> dict[str, list[str]]:
        """Sizes of its networks, and FLOP and memory of images and of training, as lines of text.

        They are calculated without weights, memory or a GPU.
        """
        model = self._fake(**options)
        footprints = [
            *(model.generation(count) for count in (1, 4, 16)),
            *(model.lineas_step(count) for count in (4, 16)),
        ]
        return {
            "networks": [
                f"{part.name}: {part.parameters / 1e6:,.0f} million parameters, "
                f"{part.bytes / 2**30:.2f} GiB"
                for part in model.networks
            ],
            "needs": [
                f"{footprint.work}, {footprint.images}: {footprint.flop / 1e12:.1f} TFLOP, "
                f"{footprint.peak / 2**30:.1f} GiB"
                for footprint in footprints
            ],
        }

    def lineas_flop(self, images: int, **options: str) -> int:
        """Floating-point operations of a step of LinEAS on `images` images."""
        return self._fake(**options).lineas_step(images).flop

    def _fake(self, **options: str) -> "FakeModel":
        from htbench.models.published.footprint import FakeModel

        if options.get("weights") == "tiny":
            return self._tiny()._fake(**{**options, "weights": "random"})
        return FakeModel(self, self.options(**options))

    def fetch(self) -> dict[str, Path]:
        """Download what is missing and check it; returns the folder of each repository."""
        folders = {source.repository: source.download() for source in self.sources}
        from htbench.models.published.adapter import verify

        shards = self.denoiser.shards(folders[self.denoiser.repository])
        updates = self.lora.shards(folders[self.lora.repository])[0] if self.lora else None
        files = LocalFiles(base=folders[self.base.repository], denoiser=shards, lora=updates)
        verify(self, files)
        return folders


_SDXL = HubFiles(
    repository="stabilityai/stable-diffusion-xl-base-1.0",
    revision="462165984030d82259a11f4367a4eed129e94a7b",
    files=(
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/*",
        "tokenizer_2/*",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder_2/config.json",
        "text_encoder/*.fp16.safetensors",
        "text_encoder_2/*.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ),
)
_PIXART_SIGMA = HubFiles(
    repository="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
    revision="e102b3591cc82e97071b8b4cb90d834d0c487207",
    files=(
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/*",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder/*.safetensors",
        "text_encoder/*.index.json",
        "vae/diffusion_pytorch_model.safetensors",
    ),
)
_FLUX = HubFiles(
    repository="black-forest-labs/FLUX.1-schnell",
    files=(
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/*",
        "tokenizer_2/*",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder/*.safetensors",
        "text_encoder_2/config.json",
        "text_encoder_2/*.safetensors",
        "text_encoder_2/*.index.json",
        "vae/diffusion_pytorch_model.safetensors",
    ),
)
_SANA_SPRINT = HubFiles(
    repository="Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
    files=(
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/*",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder/*.safetensors",
        "text_encoder/*.index.json",
        "vae/diffusion_pytorch_model.safetensors",
    ),
)
_Z_IMAGE = replace(_SANA_SPRINT, repository="Tongyi-MAI/Z-Image-Turbo")
_QWEN_IMAGE = replace(_SANA_SPRINT, repository="Qwen/Qwen-Image")
_FLUX2_KLEIN = replace(_SANA_SPRINT, repository="black-forest-labs/FLUX.2-klein-4B")
_TRANSFORMER = ("transformer/*.safetensors", "transformer/*.index.json")
_DMD2_LICENCE = "CC BY-NC-SA 4.0: no commercial use; base: CreativeML Open RAIL++-M"


def _dmd2(name: str, steps: int, timesteps: tuple[int, ...]) -> PublishedGenerator:
    file = f"dmd2_sdxl_{steps}step_unet_fp16.bin"
    weights = HubFiles(
        repository="tianweiy/DMD2",
        revision="be22767697a1f3ca656b73c776e15fa335c86c6c",
        files=(file,),
    )
    return PublishedGenerator(
        name=name,
        family="sdxl",
        base=_SDXL,
        denoiser=weights,
        scheduler="LCMScheduler",
        timesteps=timesteps,
        dtype="float16",
        licence=_DMD2_LICENCE,
        reference="https://arxiv.org/abs/2405.14867",
    )


dmd2 = _dmd2("dmd2", 1, (399,))
dmd2_4step = _dmd2("dmd2-4step", 4, (999, 749, 499, 249))
nitro_1_pixart = PublishedGenerator(
    name="nitro-1-pixart",
    family="pixart-sigma",
    base=_PIXART_SIGMA,
    denoiser=HubFiles(repository="amd/Nitro-1-PixArt", files=("*.safetensors",)),
    scheduler="DPMSolverMultistepScheduler",
    timesteps=(400,),
    dtype="bfloat16",
    licence="Apache-2.0; base: CreativeML Open RAIL++-M",
    reference="the model card of amd/Nitro-1-PixArt",
)
sdxl_lightning_4step = PublishedGenerator(
    name="sdxl-lightning-4step",
    family="sdxl",
    base=_SDXL,
    denoiser=HubFiles(
        repository="ByteDance/SDXL-Lightning", files=("sdxl_lightning_4step_unet.safetensors",)
    ),
    scheduler="EulerDiscreteScheduler",
    scheduler_settings={"timestep_spacing": "trailing"},
    timesteps=(999, 749, 499, 249),
    dtype="float16",
    licence="CreativeML Open RAIL++-M, as its base",
    reference="https://arxiv.org/abs/2402.13929",
)
flux_schnell = PublishedGenerator(
    name="flux-schnell",
    family="flux",
    base=_FLUX,
    denoiser=HubFiles(repository=_FLUX.repository, files=_TRANSFORMER),
    scheduler="FlowMatchEulerDiscreteScheduler",
    timesteps=(1000, 750, 500, 250),
    dtype="bfloat16",
    licence="Apache-2.0",
    reference="the model card of black-forest-labs/FLUX.1-schnell",
)
sana_sprint = PublishedGenerator(
    name="sana-sprint",
    family="sana-sprint",
    base=_SANA_SPRINT,
    denoiser=HubFiles(repository=_SANA_SPRINT.repository, files=_TRANSFORMER),
    scheduler="SCMScheduler",
    timesteps=(1.5708, 1.3),
    dtype="bfloat16",
    licence="NVIDIA NSCL v2-custom: no commercial use; text encoder: Gemma Terms of Use",
    reference="https://arxiv.org/abs/2503.09641",
    size_step=32,
)
z_image_turbo = PublishedGenerator(
    name="z-image-turbo",
    family="z-image",
    base=_Z_IMAGE,
    denoiser=HubFiles(repository=_Z_IMAGE.repository, files=_TRANSFORMER),
    scheduler="FlowMatchEulerDiscreteScheduler",
    timesteps=(1000, 875, 750, 625, 500, 375, 250, 125),
    dtype="bfloat16",
    licence="Apache-2.0",
    reference="https://arxiv.org/abs/2511.22699",
)
qwen_image_lightning = PublishedGenerator(
    name="qwen-image-lightning",
    family="qwen-image",
    base=_QWEN_IMAGE,
    denoiser=HubFiles(repository=_QWEN_IMAGE.repository, files=_TRANSFORMER),
    lora=HubFiles(
        repository="lightx2v/Qwen-Image-Lightning",
        files=("Qwen-Image-Lightning-8steps-V1.0.safetensors",),
    ),
    scheduler="FlowMatchEulerDiscreteScheduler",
    scheduler_settings={
        "base_shift": math.log(3),
        "max_shift": math.log(3),
        "shift_terminal": None,
    },
    timesteps=(1000, 875, 750, 625, 500, 375, 250, 125),
    dtype="bfloat16",
    licence="Apache-2.0",
    reference="https://arxiv.org/abs/2508.02324",
)
flux2_klein = PublishedGenerator(
    name="flux2-klein",
    family="flux2-klein",
    base=_FLUX2_KLEIN,
    denoiser=HubFiles(repository=_FLUX2_KLEIN.repository, files=_TRANSFORMER),
    scheduler="FlowMatchEulerDiscreteScheduler",
    timesteps=(1000, 750, 500, 250),
    dtype="bfloat16",
    licence="Apache-2.0",
    reference="the model card of black-forest-labs/FLUX.2-klein-4B",
)
GENERATORS = {
    preset.name: preset
    for preset in (
        dmd2,
        dmd2_4step,
        nitro_1_pixart,
        sdxl_lightning_4step,
        flux_schnell,
        sana_sprint,
        z_image_turbo,
        qwen_image_lightning,
        flux2_klein,
    )
}
