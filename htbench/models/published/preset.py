"""Presets: everything that is fixed about a published few-step generator, and what may be chosen. Imports no torch."""

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


@checked(frozen=True, kw_only=True)
class LoadOptions:
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
    """All that is fixed about a published generator."""

    name: str
    family: Literal["sdxl", "pixart-sigma", "flux"]
    base: HubFiles
    """The pipeline that it was distilled from: all parts but the denoiser's weights."""
    denoiser: HubFiles
    scheduler: str
    timesteps: tuple[int, ...]
    dtype: Dtype
    licence: str
    reference: str
    scheduler_settings: Mapping[str, object] = field(default_factory=dict)
    """What differs from the settings that the pipeline comes with."""
    size: int = 1024
    concept_encoder: str = "clip-vit-l-14"
    scorer: str = "siglip-vit-b-16"

    def options(self, **values: object) -> LoadOptions:
        """Options with these values; raises as a call does."""
        known = [field.name for field in fields(LoadOptions)]
        for option in values:
            if option not in known:
                raise UnknownName(f"option of {self.name}", option, known)
        try:
            return TypeAdapter(LoadOptions).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(
                f"option {first['loc'][0]!r} of {self.name}: {first['msg']}, not {str(first['input'])[:60]!r}"
            ) from None

    def missing(self) -> list[str]:
        """Repositories whose files are not on this machine."""
        return [source.repository for source in (self.base, self.denoiser) if source.find() is None]

    def facts(self) -> dict[str, str]:
        """What a report says about the generator."""
        return {
            "denoiser": f"{self.denoiser.repository}/{self.denoiser.files[0]}, revision {self.denoiser.commit}",
            "pipeline": f"{self.base.repository}, revision {self.base.commit}",
            "scheduler": ", ".join(
                [
                    self.scheduler,
                    *(f"{name} {value}" for name, value in self.scheduler_settings.items()),
                ]
            ),
            "timesteps": ", ".join(map(str, self.timesteps)),
            "guidance": "0",
            "number format": self.dtype,
            "size": f"{self.size} x {self.size}",
            "licence": self.licence,
            "reference": self.reference,
        }


def architecture(family: str) -> Mapping[str, Any]:
    """Published settings of each part of a family, and the shapes of its encoded prompts."""
    found: dict[str, Any] = json.loads(
        files("htbench.models.published")
        .joinpath("architectures", f"{family}.json")
        .read_text(encoding="utf-8")
    )
    return found
