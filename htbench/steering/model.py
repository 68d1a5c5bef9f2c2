"""Models: a text-to-image model seen as named sites."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from htbench.core.errors import NotFinite, UnknownName
from htbench.core.types import Digest, Site, SiteInfo
from htbench.steering.intervention import Intervention

if TYPE_CHECKING:
    from PIL.Image import Image

Tap = Callable[
    [Site, Float[Tensor, "images positions channels"]], Float[Tensor, "images positions channels"]
]
"""Called with what a site puts out, in the order in which sites fire; gives what is passed on instead."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One image to make."""

    prompt: str
    seed: int
    intervention: Intervention
    strength: float


class Model(Protocol):
    """A text-to-image model; loading it is the plug-in's work, done by its factory `(device: str) -> Model`."""

    name: str
    revision: Digest
    """Changes with weights, sampler settings, size and number format: with all that can change an image."""
    sites: Mapping[Site, SiteInfo]
    """Where it can be steered, in the order of firing."""
    device: str
    concept_encoder: str
    """The encoder that hypernetworks for it read concepts with."""
    scorer: str
    """The encoder that scores its images: another one than `concept_encoder`."""

    def generate(self, requests: Sequence[Request]) -> "list[Image]":
        """One image a request; each depends on its own request alone.

        Raises:
            NotFinite: if any of them holds NaN or infinity; see `check_finite`.
        """

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        """Run the denoiser as `generate` does, with `tap` at every site; gradients flow if PyTorch's mode says so."""

    def synchronise(self) -> None:
        """Wait until the device has done all it was given; nothing on a CPU."""


def check_finite(pixels: Float[Tensor, "images rgb rows columns"]) -> None:
    """Raise `NotFinite` if any pixel is NaN or infinite: a conversion to bytes would hide it as some colour."""
    bad = int((~pixels.isfinite()).flatten(1).any(1).sum())
    if bad:
        raise NotFinite(f"{bad} of {len(pixels)} images hold NaN or infinity")


@runtime_checkable
class HasVocabulary(Protocol):
    """A model that can say which words it does not know; one that reads any text leaves this out."""

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the model has never seen, in their order."""


@runtime_checkable
class CachesPrompts(Protocol):
    """A model that encodes a prompt once and keeps it; one that encodes it anew for every image leaves this out."""

    def forget_prompts(self) -> None:
        """Encode all prompts anew from here on."""


@runtime_checkable
class HasFacts(Protocol):
    """A model that a report says more about: licence, weights, scheduler."""

    def facts(self) -> Mapping[str, str]:
        """What to say, by what it is about."""


def unknown_words(model: Model, texts: Iterable[str]) -> list[str]:
    """Words of `texts` that `model` has never seen, each once; none for a model that reads any text."""
    return (
        list(dict.fromkeys(word for text in texts for word in model.unknown_words(text)))
        if isinstance(model, HasVocabulary)
        else []
    )


def select_sites(model: Model, patterns: Sequence[str]) -> tuple[Site, ...]:
    """Sites that match any of the glob `patterns`, in the order of firing.

    Raises:
        UnknownName: if a pattern matches nothing, with the nearest sites.
    """
    for pattern in patterns:
        if not any(fnmatchcase(site, pattern) for site in model.sites):
            raise UnknownName(f"site of {model.name}", pattern, model.sites)
    return tuple(
        site for site in model.sites if any(fnmatchcase(site, pattern) for pattern in patterns)
    )
