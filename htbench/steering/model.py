"""Models: the protocol of a text-to-image model whose activations are read and changed at sites."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
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
"""Called with a site and its output, in the order in which sites fire; returns the output that
the rest of the network gets instead, of the same shape. Few-step models call it once per step."""


UNKNOWN_WORDS_REMEDY = "Give --allow-unknown to go on all the same. Known words: htbench list words"
_MOST_WORDS = 5
"""Number of unknown words that are named."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One image to generate: a prompt and a seed, steered by an intervention at a strength.

    The image of a prompt and seed without steering is that of `Intervention()` at strength 0.
    """

    prompt: str
    seed: int
    """Seed of the initial noise; equal seeds give equal noise, whatever the prompt."""
    intervention: Intervention
    strength: float
    """Any finite number: 0 changes nothing, 1 is the full map, below 0 steers away."""


class Model(Protocol):
    """A text-to-image model with frozen weights that can be steered at named sites.

    A plug-in in the group `htbench.models` is a factory `(device: str) -> Model`; users call
    `htbench.load_model`. See docs/models.md.
    """

    name: str
    revision: Digest
    """Changes with everything that can change an image: weights, sampler settings, image size and
    number format."""
    sites: Mapping[Site, SiteInfo]
    """The modules that can be steered, in the order of firing."""
    device: str
    """A name that PyTorch knows, such as `cpu` or `cuda`."""
    concept_encoder: str
    """Name of the encoder that hypernetworks for this model embed concepts with."""
    scorer: str
    """Name of the encoder that scores its images: another one than `concept_encoder`."""

    def generate(self, requests: Sequence[Request]) -> "list[Image]":
        """One image per request, in their order; each depends on its own request alone.

        Raises:
            NotFinite: if any of them holds NaN or infinity; see `check_finite`.
            UnknownName: if an intervention acts on a site that the model does not have.
        """

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        """Run the denoiser as `generate` does, with `tap` at every site; no image is made.

        Prompts and seeds are paired, one image each, all in one batch. Gradients flow through the
        network to what `tap` returns unless PyTorch's gradient mode is off.
        """

    def synchronise(self) -> None:
        """Wait until the device has finished all queued work; return at once on a CPU."""


def check_finite(pixels: Float[Tensor, "images rgb rows columns"]) -> None:
    """Raise `NotFinite` if any pixel is NaN or infinite: bytes would show it as some colour."""
    bad = int((~pixels.isfinite()).flatten(1).any(1).sum())
    if bad:
        raise NotFinite(f"{bad} of {len(pixels)} images hold NaN or infinity")


@runtime_checkable
class HasVocabulary(Protocol):
    """A model of limited vocabulary; one that reads any text leaves this out."""

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the model has never seen, in their order."""


@runtime_checkable
class ListsWords(Protocol):
    """A model that can list its vocabulary; others leave this out."""

    def vocabulary(self) -> Mapping[str, Sequence[str]]:
        """All words, and names of several words, that the model knows, by what they stand for."""


@runtime_checkable
class CachesPrompts(Protocol):
    """A model that encodes each prompt once and keeps it; others leave this out."""

    def forget_prompts(self) -> None:
        """Encode all prompts anew from here on."""


@runtime_checkable
class HasDetector(Protocol):
    """A model with a scorer beside its encoder; others leave this out."""

    detector: str
    """Name of an installed scorer, no encoder, that scores its images too unless a run names its
    encoders."""


@runtime_checkable
class HasTimesteps(Protocol):
    """A model of declared timesteps, which `htbench check model` holds it to."""

    @property
    def timesteps(self) -> Sequence[float]:
        """The timesteps that it declares, from noise to the image."""

    def asked_timesteps(self, prompt: str, seed: int) -> list[float]:
        """The timesteps that the denoiser is asked at for one image, in their order."""


@runtime_checkable
class HasFacts(Protocol):
    """A model with facts to report: its licence, weights, scheduler."""

    def facts(self) -> Mapping[str, str]:
        """Lines for the report, by heading."""


def unknown_words(model: Model, texts: Iterable[str]) -> dict[str, list[str]]:
    """Distinct words of `texts` that `model` has never seen, each with up to three near words that
    it knows; empty if it reads any text.
    """
    if not isinstance(model, HasVocabulary):
        return {}
    words = dict.fromkeys(word for text in texts for word in model.unknown_words(text))
    known: set[str] = set()
    if words and isinstance(model, ListsWords):
        known = {word for names in model.vocabulary().values() for word in " ".join(names).split()}
    return {word: get_close_matches(word, known, n=3, cutoff=0.7) for word in words}


def describe_unknown_words(model: str, words: Mapping[str, Sequence[str]]) -> str:
    """A sentence on words that a model does not know: the first of them, with near words."""
    parts = [
        repr(word) + (f" (near: {', '.join(words[word])})" if words[word] else "")
        for word in [*words][:_MOST_WORDS]
    ]
    more = f" and {len(words) - _MOST_WORDS} more" if len(words) > _MOST_WORDS else ""
    return f"not in the vocabulary of {model}: {', '.join(parts)}{more}"


def select_sites(model: Model, patterns: Sequence[str]) -> tuple[Site, ...]:
    """Sites of `model` that match any of the glob `patterns`, in the order of firing.

    Patterns are those of `fnmatch`, case-sensitive: `*` also matches dots, so `("*",)` selects all
    sites.

    Raises:
        UnknownName: if a pattern matches nothing, with the nearest sites.
    """
    for pattern in patterns:
        if not any(fnmatchcase(site, pattern) for site in model.sites):
            raise UnknownName(f"site of {model.name}", pattern, model.sites)
    return tuple(
        site for site in model.sites if any(fnmatchcase(site, pattern) for pattern in patterns)
    )
