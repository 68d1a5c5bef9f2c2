"""Cards of hosted text-to-image models, and the pictures that they ask for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from htbench.core import content, secrets
from htbench.core.errors import Missing, UsageError
from htbench.core.types import UNSTEERED, Digest
from htbench.judging.card import Endpoint
from htbench.run.plan import image_seed
from htbench.steering import concept

PROTOCOL = 1
"""Part of every picture's key; raised when requests change but the rest of the key does not."""
_OWN_PARAMETERS = ("model", "prompt", "n", "stream")
"""Parameters of a request that no card can set."""
PROMPTING = "prompt"
"""The method that asks for the concept in the prompt, the only one that a hosted model allows."""


SEEDLESS = (
    "The endpoint takes no seed: a picture and its unsteered counterpart do not begin with the "
    "same noise, so little of the image is kept whatever the method."
)
"""Note on pictures of an endpoint without seeds."""


class _CardModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WantedPictures(_CardModel):
    """The pictures of a hosted model: concepts, prompts, and pictures per prompt."""

    concept_set: str = "open"
    concepts: str = "test"
    """Splits or ids of the set, separated by commas."""
    limit: int | None = Field(default=None, ge=1)
    """The first concepts of these; None: all."""
    prompts: int = Field(default=4, ge=1)
    seeds: int = Field(default=1, ge=1, le=10_000)


class HostedCard(_CardModel):
    """A text-to-image model behind an endpoint for images, as OpenAI's service has one."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")
    kind: Literal["images-api"]
    model: str = Field(min_length=1, max_length=500)
    summary: str = ""
    parameters: dict[str, JsonValue] = {}
    """Parameters of each request, such as the size."""
    seed_parameter: str = ""
    """The parameter that takes the seed; empty: the endpoint takes none, so that pictures with and
    without the concept do not begin with the same noise."""
    tokens: int = Field(default=0, ge=0, le=10**6)
    """The most tokens of a picture, where the endpoint charges for tokens. 0: it charges for
    pictures, and `output` in the table of prices is the price of one."""
    pictures: WantedPictures = WantedPictures()
    endpoint: Endpoint = Endpoint()

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name, value in parameters.items():
            if name in _OWN_PARAMETERS:
                raise ValueError(f"{name!r} is set by htbench itself")
            if isinstance(value, str) and secrets.is_secret_name(name):
                secrets.Secret(value)
        return parameters

    def request_parameters(self, seed: int) -> dict[str, JsonValue]:
        """The parameters of a request for the picture with this seed."""
        own: Mapping[str, JsonValue] = {self.seed_parameter: seed} if self.seed_parameter else {}
        return {**self.parameters, **own}


@dataclass(frozen=True, kw_only=True)
class HostedPicture:
    """A picture to ask for."""

    key: Digest
    """Digest of all that can change it."""
    method: str
    concept: str
    """Id; empty for an unsteered picture."""
    prompt: str
    """The neutral prompt."""
    seed: int
    text: str
    """The prompt that is sent."""


def read(path: Path) -> HostedCard:
    """The card in a TOML file.

    Raises:
        Missing: if there is no such file.
        UsageError: if it is not valid.
    """
    try:
        return content.read_card(path, HostedCard)
    except FileNotFoundError:
        raise Missing(f"no card of a hosted model {str(path)[:300]!r}") from None
    except content.InvalidCard as error:
        raise UsageError(
            f"card {str(path)[:300]!r} of a hosted model is not valid: {error}",
            remedy="See docs/import.md.",
        ) from None


def pictures(card: HostedCard) -> Iterator[HostedPicture]:
    """All pictures that a card asks for: unsteered ones, then those of prompting.

    Raises:
        UsageError: if the set has fewer prompts.
    """
    wanted = card.pictures
    concept_set = concept.load(wanted.concept_set)
    concepts = concept_set.select(wanted.concepts)[: wanted.limit]
    if wanted.prompts > len(concept_set.prompts):
        raise UsageError(
            f"{wanted.prompts} prompts wanted, the concept set has {len(concept_set.prompts)}"
        )
    prompts = concept_set.prompts[: wanted.prompts]
    for each in (None, *concepts):
        for prompt in prompts:
            for number in range(wanted.seeds):
                # other programs count in 32 bits
                seed = image_seed(prompt, number) % 2**31
                text = each.target(prompt) if each else prompt
                request = [PROTOCOL, card.model, text, seed, card.request_parameters(seed)]
                yield HostedPicture(
                    key=content.digest(request),
                    method=PROMPTING if each else UNSTEERED,
                    concept=each.id if each else "",
                    prompt=prompt,
                    seed=seed,
                    text=text,
                )
