"""Model cards: text-to-image models as TOML files in any folder.

A card names a pipeline of diffusers, or a class that is a model by itself, with its settings.
Reading a card imports neither torch nor what the card names.
"""

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from htbench.core import content, reading, registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.registry import Description
from htbench.core.types import Digest
from htbench.core.weights import HubFiles
from htbench.models.published.generators import PublishedGenerator
from htbench.models.published.preset import ADDED_GUIDANCE, EMBEDDED_GUIDANCE, Dtype
from htbench.steering import baseline

if TYPE_CHECKING:
    from htbench.models.published.adapter import FewStepModel
    from htbench.models.published.footprint import FakeModel

DOCS = "See docs/add-a-model.md."
_MAX_STEPS = 1000
_WORDS = ("summary", "licence", "reference", "name")
"""Fields that readers see, and that change no image."""
_OF_CLASSES = ("name", "summary", "licence", "reference", "concept_encoder", "scorer")
"""Fields that a card of a class has beside `model` and `settings`."""
_PARTS_OF_MODELS = (
    *("revision", "sites", "device", "concept_encoder", "scorer"),
    *("generate", "trace", "synchronise"),
)


@dataclass(frozen=True, kw_only=True)
class _Pipeline:
    """The parts of a pipeline of diffusers, by the folders that it is saved in."""

    family: str
    denoiser: str
    text_encoders: tuple[str, ...]
    tokenisers: tuple[str, ...]


def _read_by_one(family: str) -> _Pipeline:
    """A transformer whose prompts one language model reads."""
    return _Pipeline(
        family=family,
        denoiser="transformer",
        text_encoders=("text_encoder",),
        tokenisers=("tokenizer",),
    )


PIPELINES = {
    "StableDiffusionXLPipeline": _Pipeline(
        family="sdxl",
        denoiser="unet",
        text_encoders=("text_encoder", "text_encoder_2"),
        tokenisers=("tokenizer", "tokenizer_2"),
    ),
    "PixArtSigmaPipeline": _read_by_one("pixart-sigma"),
    "FluxPipeline": _Pipeline(
        family="flux",
        denoiser="transformer",
        text_encoders=("text_encoder", "text_encoder_2"),
        tokenisers=("tokenizer", "tokenizer_2"),
    ),
    "SanaSprintPipeline": _read_by_one("sana-sprint"),
    "ZImagePipeline": _read_by_one("z-image"),
    "QwenImagePipeline": _read_by_one("qwen-image"),
    "Flux2KleinPipeline": _read_by_one("flux2-klein"),
}
"""Pipelines that a card can name, by their classes; all else is a class of its own."""


class DenoiserFile(BaseModel):
    """The file of a distilled denoiser, where it is not that of the pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: Annotated[str, Field(min_length=1, max_length=300)]
    """Name of the file, or a glob pattern of its shards."""
    repository: str = ""
    """Empty: the repository or folder of the pipeline."""
    revision: str = "main"


class ModelCard(BaseModel):
    """A text-to-image model, as a TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]
    summary: str = ""
    licence: str = ""
    reference: str = ""
    """Paper or page of the model."""
    model: str = ""
    """Entry point in the group `htbench.models`, or `module:Class` of a module beside the card or
    an importable one; called with a device and `settings`, it returns the model."""
    settings: dict[str, JsonValue] = {}
    pipeline: str = ""
    """Class of diffusers."""
    repository: str = ""
    revision: str = "main"
    """A commit, or a branch; of a branch, the commit of the first download is used ever after."""
    folder: str = ""
    """Folder with a saved pipeline instead, relative to the card's; it has the denoiser's file."""
    variant: Annotated[str, Field(pattern=r"^[a-z0-9]*$")] = ""
    """Part of the names of weights, such as `fp16`."""
    denoiser: DenoiserFile | None = None
    timesteps: tuple[Annotated[int, Field(ge=0, le=1000)], ...] = ()
    steps: Annotated[int, Field(ge=1, le=_MAX_STEPS)] | None = None
    scheduler: Annotated[str, Field(pattern=r"^(\w+Scheduler)?$")] = ""
    """Class of diffusers; empty: that of the pipeline."""
    scheduler_settings: dict[str, JsonValue] = {}
    """Changes to the pipeline's settings of the scheduler."""
    guidance: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.0
    """diffusers' `guidance_scale`: classifier-free above 1, or an input of the denoiser."""
    negative_prompt: str | None = None
    """Prompt that guidance leads away from; without it, that of the pipeline."""
    dtype: Dtype = "float16"
    size: Annotated[int, Field(ge=16, le=8192, multiple_of=16)] = 1024
    """Rows and columns of an image."""
    sites: Annotated[str, Field(min_length=1)] = "norms"
    """`norms`, `attention`, `mlp`, or a glob or regular expression of whole names of modules."""
    concept_encoder: str = ""
    """Encoder that hypernetworks read concepts with; empty: the published one, or the class's."""
    scorer: str = ""
    """Encoder that scores images; empty: the published one, or the class's."""

    @model_validator(mode="after")
    def _check_fields(self) -> "ModelCard":
        if bool(self.pipeline) == bool(self.model):
            raise ValueError("a card has either a pipeline or a model")
        if self.model:
            odd = sorted(self.model_fields_set - {*_OF_CLASSES, "model", "settings"})
            if odd:
                raise ValueError(
                    f"{odd[0]} is of pipelines; settings of a class stand under [settings]"
                )
            return self
        if self.settings:
            raise ValueError("settings are of a class, and this card has a pipeline")
        if bool(self.repository) == bool(self.folder):
            raise ValueError("a pipeline has either a repository or a folder")
        if self.folder and self.denoiser and self.denoiser.repository:
            raise ValueError("the denoiser's file of a pipeline in a folder is in that folder too")
        if bool(self.timesteps) == (self.steps is not None):
            raise ValueError("a pipeline has either timesteps or steps")
        if list(self.timesteps) != sorted(set(self.timesteps), reverse=True):
            raise ValueError("timesteps fall from noise to the image: 999, 749, 499, 249")
        known = PIPELINES.get(self.pipeline)
        if self.timesteps and known and known.family == "sana-sprint":
            raise ValueError("times of SANA-Sprint are angles; give a number of steps")
        self._check_guidance(known)
        return self

    def _check_guidance(self, known: _Pipeline | None) -> None:
        if known and known.family in EMBEDDED_GUIDANCE:
            return
        least = 0 if known and known.family in ADDED_GUIDANCE else 1
        if 0 < self.guidance <= least:
            raise ValueError("guidance from 0 to 1 is none in diffusers; write 0, or more than 1")
        if self.negative_prompt is not None and self.guidance <= least:
            raise ValueError(f"negative_prompt has no effect without guidance above {least}")

    def digest(self, folder: Path) -> Digest:
        """Changes with all that the card says of images, and with the code beside it in `folder`.

        Not with words for readers, nor with the place of a folder, whose files have a digest.
        """
        fields = self.model_dump(mode="json", exclude={*_WORDS, "folder"})
        code = _code_file(self.model, folder)
        return content.digest([fields, *([content.file_digest(code)] if code else [])])


@dataclass(frozen=True, kw_only=True)
class CardGenerator(PublishedGenerator):
    """A generator whose preset is a card."""

    summary: str = ""
    sites: str = "norms"
    folder: str = ""
    """Absolute path of the pipeline; empty: it is in a repository."""

    @property
    def description(self) -> Description:
        """The card in words."""
        return Description(about=self.summary or "By its card.", licence=self.licence)

    def __call__(self, device: str, *, weights: str = "hub", **others: object) -> "FewStepModel":
        source = self.folder if weights == "hub" and self.folder else weights
        return super().__call__(device, weights=source, **{"sites": self.sites, **others})

    def sketch(self, **options: str) -> "FewStepModel":
        """The model without data, of the architecture that is here, else of the published one."""
        return self("meta", **options)

    def _fake(self, **options: str) -> "FakeModel":
        source = {"weights": self.folder} if self.folder else {}
        return super()._fake(**{"sites": self.sites, **source, **options})

    def missing(self) -> list[str]:
        """Repositories, or the folder, whose files are not on this machine."""
        if not self.folder:
            return list(dict.fromkeys(super().missing()))
        return [] if Path(self.folder).is_dir() else [self.folder]

    def fetch(self) -> dict[str, Path]:
        """Download what is missing and check it; of a folder, only check that it is there."""
        if not self.folder:
            return super().fetch()
        if self.missing():
            raise Missing(
                f"no folder {self.folder!r}, which the card of {self.name} names",
                remedy="Put the pipeline there, or correct `folder` in the card.",
            )
        return {}


@dataclass(frozen=True, kw_only=True)
class CardModel:
    """A model that is a class, with the settings of its card."""

    card: ModelCard
    folder: Path
    """The folder of the card."""

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name

    @property
    def description(self) -> Description:
        """The card in words."""
        about = self.card.summary or f"{self.card.model}, by its card."
        return Description(about=about, licence=self.card.licence)

    def missing(self) -> list[str]:
        """Nothing that the card could tell: its class says what it lacks when it is loaded."""
        return []

    def __call__(self, device: str, **options: object) -> Any:
        """The model on `device`; `options` replace settings of the card.

        Raises:
            UnknownName: for a class or a setting that does not exist, with the nearest names.
            UsageError: for a value of another type, or a class that is not a model.
            Missing: if its module cannot be imported.
        """
        factory = _factory(self.card, self.folder)
        settings = _checked(self.card, factory, {**self.card.settings, **options})
        model = factory(device, **settings)
        changes: dict[str, object] = {"name": self.card.name}
        changes |= {
            role: getattr(self.card, role)
            for role in ("concept_encoder", "scorer")
            if getattr(self.card, role)
        }
        lacks = [part for part in _PARTS_OF_MODELS if not hasattr(model, part)]
        if lacks := [part for part in lacks if part not in changes]:
            raise UsageError(
                f"{self.card.model!r} of card {self.name!r} is not a model: it has no "
                f"{' and no '.join(map(repr, lacks))}",
                remedy=DOCS,
            )
        changes["revision"] = content.digest(
            [
                model.revision,
                self.card.digest(self.folder),
                sorted([name, str(value)] for name, value in options.items()),
            ]
        )
        try:
            for name, value in changes.items():
                setattr(model, name, value)
        except AttributeError as error:
            raise UsageError(
                f"{self.card.model!r} of card {self.name!r} cannot be given a name and a revision: "
                f"{error}",
                remedy="Write a class whose objects can have attributes set, not a frozen one.",
            ) from None
        return model


def load_card(path: str) -> CardGenerator | CardModel:
    """The model of the card at `path`: called with a device, it returns the model.

    Raises:
        Missing: if there is no such file.
        UsageError: if the card is not valid; `UnknownName`, with the nearest, for a field,
            pipeline or entry point that does not exist.
    """
    card, folder = read_card(path), Path(path).absolute().parent
    if card.model:
        if ":" not in card.model:
            registry.check("models", card.model)
        return CardModel(card=card, folder=folder)
    return _generator(card, folder)


def read_card(path: str) -> ModelCard:
    """The card in the file `path`; raises what `load_card` does."""
    if not os.path.lexists(path[:4096]):
        raise Missing(
            f"no card file {path[:300]!r}",
            remedy="Give the path of a TOML file, or a name from: htbench list models",
        )
    known = list(ModelCard.model_fields)
    for field in reading.read_toml(Path(path), noun="card"):
        if field not in known:
            raise UnknownName(f"field of the model card {path[:200]!r}", field, known, remedy=DOCS)
    try:
        card = content.read_card(Path(path), ModelCard)
    except (content.InvalidCard, OSError) as error:
        raise UsageError(f"card {path[:300]!r} is not valid: {error}", remedy=DOCS) from None
    if card.pipeline and card.pipeline not in PIPELINES:
        raise UnknownName(
            "pipeline of model cards",
            card.pipeline,
            PIPELINES,
            remedy='Another model is a class: model = "module:Class". See docs/add-a-model.md.',
        )
    if card.name in registry.plugins("models"):
        raise UsageError(
            f"card {path[:300]!r} has the name of an installed model, {card.name!r}",
            remedy="Give it another name: results are told apart by it.",
        )
    return card


def _generator(card: ModelCard, folder: Path) -> CardGenerator:
    pipeline = PIPELINES[card.pipeline]
    base = HubFiles(
        repository=card.repository or card.folder,
        files=_base_files(pipeline, card.variant),
        revision=card.revision,
    )
    own = card.denoiser
    file = own.file if own else f"{pipeline.denoiser}/*{_ending(card.variant)}"
    denoiser = HubFiles(
        repository=(own and own.repository) or base.repository,
        files=(file,) if own else (file, f"{pipeline.denoiser}/*.index.json"),
        revision=own.revision if own and own.repository else card.revision,
    )
    for name in filter(None, (card.concept_encoder, card.scorer)):
        registry.check("encoders", name)
    return CardGenerator(
        name=card.name,
        family=pipeline.family,
        size_step=32 if pipeline.family == "sana-sprint" else 16,
        base=base,
        denoiser=denoiser,
        scheduler=card.scheduler,
        scheduler_settings=card.scheduler_settings,
        timesteps=card.timesteps,
        steps=card.steps or 0,
        guidance=card.guidance,
        negative_prompt=card.negative_prompt,
        dtype=card.dtype,
        size=card.size,
        licence=card.licence or "not stated by its card",
        reference=card.reference or "not stated by its card",
        concept_encoder=card.concept_encoder or CardGenerator.concept_encoder,
        scorer=card.scorer or CardGenerator.scorer,
        card=card.digest(folder),
        summary=card.summary,
        sites=card.sites,
        folder=str((folder / card.folder).resolve()) if card.folder else "",
    )


def _ending(variant: str) -> str:
    return f".{variant}.safetensors" if variant else ".safetensors"


def _base_files(pipeline: _Pipeline, variant: str) -> tuple[str, ...]:
    """Patterns of the files of a pipeline but for the denoiser's weights."""
    encoders = [
        file
        for part in pipeline.text_encoders
        for file in (f"{part}/config.json", f"{part}/*{_ending(variant)}", f"{part}/*.index.json")
    ]
    return (
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{part}/*" for part in pipeline.tokenisers),
        f"{pipeline.denoiser}/config.json",
        *encoders,
        "vae/config.json",
        f"vae/*{_ending(variant)}",
    )


def _code_file(model: str, folder: Path) -> Path | None:
    """The module beside a card that defines its class; None if there is none."""
    module, colon, _ = model.rpartition(":")
    file = folder / f"{module.removesuffix('.py')}.py"
    return file if colon and file.is_file() else None


def _factory(card: ModelCard, folder: Path) -> Callable[..., Any]:
    """The class or function that a card names.

    Raises:
        Missing: if its module cannot be imported.
        UsageError: if there is none, or it cannot be called.
    """
    module_name, colon, name = card.model.rpartition(":")
    if not colon:
        factory: Callable[..., Any] = registry.load("models", card.model)
        return factory
    code = _code_file(card.model, folder)
    try:
        module = baseline.import_file(code) if code else importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        remedy = f"Install the package that has it, or put {module_name}.py beside the card."
        raise registry.cannot_import(
            f"{card.model!r} of card {card.name!r}", error, remedy=remedy
        ) from None
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if callable(value) and key[:1] != "_"]
        raise UnknownName(f"class of {module_name}", name, own)
    factory = getattr(module, name)
    if not callable(factory):
        raise UsageError(
            f"{card.model!r} of card {card.name!r} is not a model: it cannot be called with a "
            "device",
            remedy=DOCS,
        )
    return factory


def _checked(
    card: ModelCard, factory: Callable[..., Any], settings: Mapping[str, object]
) -> dict[str, object]:
    """Settings as the types of a factory's parameters say; the first parameter is the device.

    Raises:
        UnknownName: for a setting that it does not take, with the nearest.
        UsageError: for a value of another type, or one that is missing.
    """
    _, *parameters = inspect.signature(factory).parameters.values()
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    target: Any = factory
    if isinstance(factory, type):
        target = target.__init__
    elif not inspect.isroutine(factory):
        target = type(target).__call__
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    values: dict[str, object] = {}
    for name, value in settings.items():
        if name not in names and not takes_any:
            raise UnknownName(f"setting of {card.model}", name, names, remedy=DOCS)
        try:
            kind = hints.get(name, Any) if name in names else Any
            values[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise UsageError(
                f"setting {name!r} of {card.name}: {problem}, not {str(value)[:60]!r}"
            ) from None
        except PydanticUserError:
            values[name] = value
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    absent = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in variadic and each.name not in values
    ]
    if absent:
        raise UsageError(
            f"{card.model!r} of card {card.name!r} needs a setting {absent[0]!r}",
            remedy="Write it under [settings] of the card.",
        )
    return values
