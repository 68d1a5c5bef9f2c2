"""Presets: the fixed facts of a published few-step generator, and the options of loading it.

This module imports no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from htbench.core.errors import UnknownName, UsageError
from htbench.core.weights import HubFiles

Dtype = Literal["float32", "bfloat16", "float16"]
DecoderDtype = Literal["float32", "bfloat16"]
_FLOAT16_DECODER = "The activations of SDXL's decoder exceed the range of float16."


@checked(frozen=True, kw_only=True)
class LoadOptions:
    """Options of loading a model; all but `offload` and `checkpoint` may change its images."""

    weights: str = "hub"
    """`hub`: as downloaded by `htbench fetch`; `random`: the published architecture with random
    weights; `tiny`: the same modules with few channels and random weights; else a folder."""
    sites: str = "norms"
    """`norms`, `attention`, `mlp`, or a glob or regular expression that matches whole names of
    modules."""
    size: Annotated[int, Field(ge=16, multiple_of=16)] | None = None
    """Rows and columns of an image; None: the published ones."""
    dtype: Dtype | None = None
    """Number format of the denoiser and the text encoders; None: the published one."""
    decoder: DecoderDtype | None = None
    """Number format of the decoder; None: float32 on a CPU, bfloat16 on a GPU.

    Not float16, since the activations of SDXL's decoder exceed its range."""
    decode: Annotated[int, Field(ge=1)] = 4
    """Images per batch of the decoder."""
    tile: bool = False
    """Decode in tiles: less memory, faint seams."""
    compile: bool | Literal["reduce-overhead"] = False
    """Compile the denoiser with its sites, once for each number of images in a batch;
    `reduce-overhead`: on a GPU, record its launches in a CUDA graph too. Gradients, and
    interventions other than affine maps, go through the denoiser as it is."""
    offload: bool = False
    """Keep on the device only the part that is running."""
    checkpoint: bool = True
    """Recompute activations for gradients instead of keeping them, for which few devices have the
    memory."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The fixed facts of a published generator."""

    name: str
    family: str
    """One of `FAMILIES`, such as `sdxl`; with `TINY` after it for few channels."""
    base: HubFiles
    """The pipeline from which it was distilled: all parts but the denoiser's weights."""
    denoiser: HubFiles
    scheduler: str
    timesteps: tuple[float, ...]
    """As the scheduler is given them; those that it shifts are shifted by the settings."""
    dtype: Dtype
    licence: str
    reference: str
    scheduler_settings: Mapping[str, object] = field(default_factory=dict)
    """Changes to the pipeline's settings of the scheduler."""
    lora: HubFiles | None = None
    """Low-rank updates that are added to the denoiser's weights; None: the denoiser as it is."""
    size: int = 1024
    size_step: int = 16
    """Sizes of images are multiples of it."""
    concept_encoder: str = "clip-vit-l-14"
    scorer: str = "siglip-vit-b-16"
    steps: int = 0
    """Number of steps whose timesteps the scheduler chooses, where `timesteps` is empty."""
    guidance: float = 0.0
    """diffusers' `guidance_scale`; 0: none."""
    negative_prompt: str | None = None
    """Prompt that guidance leads away from; None: the pipeline's own."""
    card: str = ""
    """Digest of the card that it was read from; empty: it is part of htbench."""

    @property
    def step_count(self) -> int:
        """Number of steps."""
        return len(self.timesteps) or self.steps

    def options(self, **values: object) -> LoadOptions:
        """`LoadOptions` with these values.

        Raises:
            UnknownName: for an option that does not exist.
            UsageError: for a value that an option cannot have.
        """
        names = [field.name for field in fields(LoadOptions)]
        for option in values:
            if option not in names:
                raise UnknownName(f"option of {self.name}", option, names)
        try:
            options = TypeAdapter(LoadOptions).validate_python(values)
        except ValidationError as error:
            first, *others = error.errors()
            name, value = first["loc"][0], str(first["input"])[:60]
            kinds = [first, *(other for other in others if other["loc"][0] == name)]
            wanted = "; or ".join(kind["msg"] for kind in kinds)
            raise UsageError(
                f"option {name!r} of {self.name}: {wanted}, not {value!r}",
                remedy=_FLOAT16_DECODER if (name, value) == ("decoder", "float16") else "",
            ) from None
        if (options.size or self.size) % self.size_step:
            raise UsageError(
                f"option 'size' of {self.name}: Input should be a multiple of {self.size_step}, "
                f"not {options.size}"
            )
        if options.offload and options.compile == "reduce-overhead":
            raise UsageError(
                "options 'offload' and 'compile=reduce-overhead' exclude each other: a CUDA graph "
                "reads weights where they were when it was recorded",
                remedy="Give compile=true with offload.",
            )
        return options

    @property
    def sources(self) -> list[HubFiles]:
        """All files of the generator."""
        return [self.base, self.denoiser, *([self.lora] if self.lora else [])]

    def missing(self) -> list[str]:
        """Repositories whose files are not on this machine."""
        lost = [source.repository for source in self.sources if source.find() is None]
        return list(dict.fromkeys(lost))

    def facts(self) -> dict[str, str]:
        """Lines for the report about the generator, by heading."""
        file = f"{self.denoiser.repository}/{self.denoiser.files[0]}"
        settings = [f"{name} {value}" for name, value in self.scheduler_settings.items()]
        return {
            "denoiser": f"{file}, revision {self.denoiser.commit}",
            **self._lora_fact(),
            "pipeline": f"{self.base.repository}, revision {self.base.commit}",
            "scheduler": ", ".join([self.scheduler or "that of the pipeline", *settings]),
            "timesteps": ", ".join(map(str, self.timesteps)) or f"{self.steps} of the scheduler",
            "guidance": f"{self.guidance:g}",
            "number format": self.dtype,
            "size": f"{self.size} x {self.size}",
            "licence": self.licence,
            "reference": self.reference,
        }

    def _lora_fact(self) -> dict[str, str]:
        if self.lora is None:
            return {}
        file = f"{self.lora.repository}/{self.lora.files[0]}"
        return {"low-rank updates": f"{file}, revision {self.lora.commit}"}


EMBEDDED_GUIDANCE = ("flux", "sana-sprint")
"""Families whose denoisers take guidance as an input, if any."""
ADDED_GUIDANCE = ("z-image",)
"""Families whose pipelines add the guided difference to the answer to the prompt, at any `guidance`
above 0; those of others have classifier-free guidance above 1."""
TINY = "-tiny"
"""Ending of a family's name for its modules with few channels, in which a CPU makes an image at
once: to rehearse, since neither images nor times mean anything."""


def architecture(family: str) -> Mapping[str, Any]:
    """Published settings of each part of a family, and the shapes of its encoded prompts.

    Those of a name that ends in `TINY` are the published ones with fewer channels and layers.
    """
    folder = files("htbench.models.published").joinpath("architectures")
    name = family.removesuffix(TINY)
    settings: dict[str, Any] = json.loads(folder.joinpath(f"{name}.json").read_text("utf-8"))
    if name == family:
        return settings
    fewer = json.loads(folder.joinpath("tiny.json").read_text("utf-8"))[name]
    encoders = zip(settings["text_encoders"], fewer["text_encoders"], strict=True)
    return {
        **settings,
        "denoiser": settings["denoiser"] | fewer["denoiser"],
        "vae": settings["vae"] | fewer["vae"],
        "words": fewer["words"],
        "text_encoders": [published | part for published, part in encoders],
    }
