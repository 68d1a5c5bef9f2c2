"""Presets: everything that is fixed about a published few-step generator, and what may be chosen. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from htbench.errors import UnknownName, UsageError
from htbench.weights import Files, Source

if TYPE_CHECKING:
    from htbench.models.distilled import Distilled

Dtype = Literal["float32", "bfloat16", "float16"]


@checked(frozen=True, kw_only=True)
class Options:
    """What may be chosen when a model is loaded; all but `offload` and `checkpoint` are part of an image's identity."""

    weights: str = "hub"
    """`hub`: as downloaded by `htbench fetch`; `random`: the published architecture without what it learnt; else a folder."""
    sites: str = "norms"
    """`norms`, `attention`, `mlp`, or a glob or regular expression that whole names of modules match."""
    size: Annotated[int, Field(ge=16, multiple_of=16)] | None = None
    """Rows and columns of an image; None: the published ones."""
    dtype: Dtype | None = None
    """Number format of the denoiser and the text encoders; None: the published one."""
    decode: Annotated[int, Field(ge=1)] = 4
    """Images that the decoder is given at once."""
    tile: bool = False
    """Decode in tiles: less memory, faint seams."""
    compile: bool = False
    """Compile attention and feed-forward layers that have no site inside."""
    offload: bool = False
    """Keep on the device only what is at work."""
    checkpoint: bool = True
    """Where gradients are wanted, compute activations again instead of keeping them: without it few devices have room."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published generator; called with a device and options it gives the model."""

    name: str
    family: Literal["sdxl", "pixart-sigma", "flux"]
    base: Source
    """The pipeline that it was distilled from: all parts but the denoiser's weights."""
    denoiser: Source
    scheduler: str
    timesteps: tuple[int, ...]
    dtype: Dtype
    licence: str
    reference: str
    scheduler_settings: Mapping[str, object] = field(default_factory=dict)
    """What differs from the settings that the pipeline comes with."""
    size: int = 1024
    conditioner: str = "clip-vit-l-14"
    scorer: str = "siglip-vit-b-16"

    def __call__(self, device: str, *, weights: str = "hub", **others: object) -> "Distilled":
        """The model on `device`, which is `meta` for one without numbers; `others` are further `Options`.

        Raises:
            UnknownName, UsageError: for options that do not exist, or values that they cannot have.
            Missing: without weights, or without the memory for them.
        """
        options = self.options(weights=weights, **others)
        from htbench.models.distilled import load

        return load(self, options, device)

    def options(self, **chosen: object) -> Options:
        """Options with these values; raises as a call does."""
        known = [field.name for field in fields(Options)]
        for option in chosen:
            if option not in known:
                raise UnknownName(f"option of {self.name}", option, known)
        try:
            return TypeAdapter(Options).validate_python(chosen)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"option {first['loc'][0]!r} of {self.name}: {first['msg']}, not {str(first['input'])[:60]!r}") from None

    def sketch(self, **options: str) -> "Distilled":
        """The model without numbers: its sites and facts need neither weights nor memory."""
        return self("meta", **options)

    def needs(self, **options: str) -> dict[str, list[str]]:
        """What its networks take, and what images and learning do, in words: worked out without weights, memory or a GPU."""
        chosen = self.options(**options)
        from htbench.models.needs import Sketch

        sketch = Sketch(self, chosen)
        work = [*(sketch.images(count) for count in (1, 4, 16)), *(sketch.lineas(count) for count in (4, 16))]
        return {
            "networks": [f"{part.name}: {part.parameters / 1e6:,.0f} million parameters, {part.bytes / 2**30:.2f} GiB" for part in sketch.parts],
            "needs": [f"{each.work}, {each.images}: {each.flop / 1e12:.1f} TFLOP, {each.peak / 2**30:.1f} GiB" for each in work],
        }

    def missing(self) -> list[str]:
        """Repositories whose files are not on this machine."""
        return [source.repository for source in (self.base, self.denoiser) if source.find() is None]

    def fetch(self) -> dict[str, Path]:
        """Download what is missing and check it; gives the folder of each repository."""
        folders = {source.repository: source.download() for source in (self.base, self.denoiser)}
        from htbench.models.distilled import verify

        verify(self, Files(base=folders[self.base.repository], denoiser=self.denoiser.shards(folders[self.denoiser.repository])))
        return folders

    def facts(self) -> dict[str, str]:
        """What a report says about the generator."""
        return {
            "denoiser": f"{self.denoiser.repository}/{self.denoiser.files[0]}, revision {self.denoiser.commit}",
            "pipeline": f"{self.base.repository}, revision {self.base.commit}",
            "scheduler": ", ".join([self.scheduler, *(f"{name} {value}" for name, value in self.scheduler_settings.items())]),
            "timesteps": ", ".join(map(str, self.timesteps)),
            "guidance": "0",
            "number format": self.dtype,
            "size": f"{self.size} x {self.size}",
            "licence": self.licence,
            "reference": self.reference,
        }


def architecture(family: str) -> Mapping[str, Any]:
    """Published settings of each part of a family, and the shapes of its encoded prompts."""
    found: dict[str, Any] = json.loads(files("htbench.models").joinpath("architectures", f"{family}.json").read_text(encoding="utf-8"))
    return found


_SDXL = Source(
    repository="stabilityai/stable-diffusion-xl-base-1.0",
    revision="462165984030d82259a11f4367a4eed129e94a7b",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/*", "tokenizer_2/*", "unet/config.json", "vae/config.json",
        "text_encoder/config.json", "text_encoder_2/config.json", "text_encoder/*.fp16.safetensors", "text_encoder_2/*.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ),
)  # fmt: skip
_PIXART_SIGMA = Source(
    repository="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
    revision="e102b3591cc82e97071b8b4cb90d834d0c487207",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/*", "transformer/config.json", "vae/config.json",
        "text_encoder/config.json", "text_encoder/*.safetensors", "text_encoder/*.index.json", "vae/diffusion_pytorch_model.safetensors",
    ),
)  # fmt: skip
_FLUX = Source(
    repository="black-forest-labs/FLUX.1-schnell",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/*", "tokenizer_2/*", "transformer/config.json", "vae/config.json",
        "text_encoder/config.json", "text_encoder/*.safetensors", "text_encoder_2/config.json", "text_encoder_2/*.safetensors",
        "text_encoder_2/*.index.json", "vae/diffusion_pytorch_model.safetensors",
    ),
)  # fmt: skip
_DMD2_LICENCE = "CC BY-NC-SA 4.0: no commercial use; base: CreativeML Open RAIL++-M"


def _dmd2(name: str, steps: int, timesteps: tuple[int, ...]) -> Preset:
    file = f"dmd2_sdxl_{steps}step_unet_fp16.bin"
    weights = Source(repository="tianweiy/DMD2", revision="be22767697a1f3ca656b73c776e15fa335c86c6c", files=(file,))
    return Preset(
        name=name, family="sdxl", base=_SDXL, denoiser=weights, scheduler="LCMScheduler",
        timesteps=timesteps, dtype="float16", licence=_DMD2_LICENCE, reference="https://arxiv.org/abs/2405.14867",
    )  # fmt: skip


dmd2 = _dmd2("dmd2", 1, (399,))
dmd2_4step = _dmd2("dmd2-4step", 4, (999, 749, 499, 249))
nitro_1_pixart = Preset(
    name="nitro-1-pixart", family="pixart-sigma", base=_PIXART_SIGMA,
    denoiser=Source(repository="amd/Nitro-1-PixArt", files=("*.safetensors",)), scheduler="DPMSolverMultistepScheduler",
    timesteps=(400,), dtype="bfloat16", licence="Apache-2.0; base: CreativeML Open RAIL++-M", reference="the model card of amd/Nitro-1-PixArt",
)  # fmt: skip
sdxl_lightning_4step = Preset(
    name="sdxl-lightning-4step", family="sdxl", base=_SDXL,
    denoiser=Source(repository="ByteDance/SDXL-Lightning", files=("sdxl_lightning_4step_unet.safetensors",)),
    scheduler="EulerDiscreteScheduler", scheduler_settings={"timestep_spacing": "trailing"}, timesteps=(999, 749, 499, 249), dtype="float16",
    licence="CreativeML Open RAIL++-M, as its base", reference="https://arxiv.org/abs/2402.13929",
)  # fmt: skip
flux_schnell = Preset(
    name="flux-schnell", family="flux", base=_FLUX,
    denoiser=Source(repository=_FLUX.repository, files=("transformer/*.safetensors", "transformer/*.index.json")),
    scheduler="FlowMatchEulerDiscreteScheduler", timesteps=(1000, 750, 500, 250), dtype="bfloat16", licence="Apache-2.0",
    reference="the model card of black-forest-labs/FLUX.1-schnell",
)  # fmt: skip
PRESETS = {preset.name: preset for preset in (dmd2, dmd2_4step, nitro_1_pixart, sdxl_lightning_4step, flux_schnell)}
