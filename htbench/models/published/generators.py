"""The published few-step generators that can be steered. Imports no torch until one is called."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.weights import HubFiles, LocalFiles
from htbench.models.published.preset import Preset

if TYPE_CHECKING:
    from htbench.models.published.adapter import FewStepModel


@dataclass(frozen=True, kw_only=True)
class Generator(Preset):
    """A preset that, called with a device and options, gives the model."""

    def __call__(self, device: str, *, weights: str = "hub", **others: object) -> "FewStepModel":
        """The model on `device`, which is `meta` for one without numbers; `others` are further `LoadOptions`.

        Raises:
            UnknownName, UsageError: for options that do not exist, or values that they cannot have.
            Missing: without weights, or without the memory for them.
        """
        options = self.options(weights=weights, **others)
        from htbench.models.published.adapter import load

        return load(self, options, device)

    def sketch(self, **options: str) -> "FewStepModel":
        """The model without numbers: its sites and facts need neither weights nor memory."""
        return self("meta", **options)

    def needs(self, **options: str) -> dict[str, list[str]]:
        """What its networks take, and what images and learning do, in words: worked out without weights, memory or a GPU."""
        chosen = self.options(**options)
        from htbench.models.published.footprint import FakeModel

        sketch = FakeModel(self, chosen)
        work = [
            *(sketch.generation(count) for count in (1, 4, 16)),
            *(sketch.lineas_step(count) for count in (4, 16)),
        ]
        return {
            "networks": [
                f"{part.name}: {part.parameters / 1e6:,.0f} million parameters, {part.bytes / 2**30:.2f} GiB"
                for part in sketch.networks
            ],
            "needs": [
                f"{each.work}, {each.images}: {each.flop / 1e12:.1f} TFLOP, {each.peak / 2**30:.1f} GiB"
                for each in work
            ],
        }

    def fetch(self) -> dict[str, Path]:
        """Download what is missing and check it; gives the folder of each repository."""
        folders = {source.repository: source.download() for source in (self.base, self.denoiser)}
        from htbench.models.published.adapter import verify

        verify(
            self,
            LocalFiles(
                base=folders[self.base.repository],
                denoiser=self.denoiser.shards(folders[self.denoiser.repository]),
            ),
        )
        return folders


_SDXL = HubFiles(
    repository="stabilityai/stable-diffusion-xl-base-1.0",
    revision="462165984030d82259a11f4367a4eed129e94a7b",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/*", "tokenizer_2/*", "unet/config.json", "vae/config.json",
        "text_encoder/config.json", "text_encoder_2/config.json", "text_encoder/*.fp16.safetensors", "text_encoder_2/*.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ),
)  # fmt: skip
_PIXART_SIGMA = HubFiles(
    repository="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
    revision="e102b3591cc82e97071b8b4cb90d834d0c487207",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/*", "transformer/config.json", "vae/config.json",
        "text_encoder/config.json", "text_encoder/*.safetensors", "text_encoder/*.index.json", "vae/diffusion_pytorch_model.safetensors",
    ),
)  # fmt: skip
_FLUX = HubFiles(
    repository="black-forest-labs/FLUX.1-schnell",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/*", "tokenizer_2/*", "transformer/config.json", "vae/config.json",
        "text_encoder/config.json", "text_encoder/*.safetensors", "text_encoder_2/config.json", "text_encoder_2/*.safetensors",
        "text_encoder_2/*.index.json", "vae/diffusion_pytorch_model.safetensors",
    ),
)  # fmt: skip
_DMD2_LICENCE = "CC BY-NC-SA 4.0: no commercial use; base: CreativeML Open RAIL++-M"


def _dmd2(name: str, steps: int, timesteps: tuple[int, ...]) -> Generator:
    file = f"dmd2_sdxl_{steps}step_unet_fp16.bin"
    weights = HubFiles(
        repository="tianweiy/DMD2",
        revision="be22767697a1f3ca656b73c776e15fa335c86c6c",
        files=(file,),
    )
    return Generator(
        name=name, family="sdxl", base=_SDXL, denoiser=weights, scheduler="LCMScheduler",
        timesteps=timesteps, dtype="float16", licence=_DMD2_LICENCE, reference="https://arxiv.org/abs/2405.14867",
    )  # fmt: skip


dmd2 = _dmd2("dmd2", 1, (399,))
dmd2_4step = _dmd2("dmd2-4step", 4, (999, 749, 499, 249))
nitro_1_pixart = Generator(
    name="nitro-1-pixart", family="pixart-sigma", base=_PIXART_SIGMA,
    denoiser=HubFiles(repository="amd/Nitro-1-PixArt", files=("*.safetensors",)), scheduler="DPMSolverMultistepScheduler",
    timesteps=(400,), dtype="bfloat16", licence="Apache-2.0; base: CreativeML Open RAIL++-M", reference="the model card of amd/Nitro-1-PixArt",
)  # fmt: skip
sdxl_lightning_4step = Generator(
    name="sdxl-lightning-4step", family="sdxl", base=_SDXL,
    denoiser=HubFiles(repository="ByteDance/SDXL-Lightning", files=("sdxl_lightning_4step_unet.safetensors",)),
    scheduler="EulerDiscreteScheduler", scheduler_settings={"timestep_spacing": "trailing"}, timesteps=(999, 749, 499, 249), dtype="float16",
    licence="CreativeML Open RAIL++-M, as its base", reference="https://arxiv.org/abs/2402.13929",
)  # fmt: skip
flux_schnell = Generator(
    name="flux-schnell", family="flux", base=_FLUX,
    denoiser=HubFiles(repository=_FLUX.repository, files=("transformer/*.safetensors", "transformer/*.index.json")),
    scheduler="FlowMatchEulerDiscreteScheduler", timesteps=(1000, 750, 500, 250), dtype="bfloat16", licence="Apache-2.0",
    reference="the model card of black-forest-labs/FLUX.1-schnell",
)  # fmt: skip
GENERATORS = {
    preset.name: preset
    for preset in (dmd2, dmd2_4step, nitro_1_pixart, sdxl_lightning_4step, flux_schnell)
}
