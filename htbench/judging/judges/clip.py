"""Judges of kind `clip`: the picture nearer to the rubric's text wins.

They are not vision-language models, as their card's label states.
"""

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, takewhile
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core import device as devices
from htbench.core import reading, registry
from htbench.core.errors import Missing, Refused, UsageError
from htbench.core.pictures import open_picture
from htbench.core.types import encoder_name
from htbench.judging.card import JudgeCard
from htbench.judging.judge import Choice, JudgeAnswer, JudgeContext, Question, ShownPicture, Verdict
from htbench.judging.meter import Usage

if TYPE_CHECKING:
    from torch import Tensor

    from htbench.steering.encoder import Encoder

PARSER = "clip-1"
_BATCH_SIZE = 128
"""Number of questions whose pictures are embedded together."""
_CACHE_SIZE = 50_000
"""Number of embeddings kept."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    tie: float = Field(default=0.02, ge=0, lt=0.5)
    """A preference within this distance of a half is a tie."""


class _CosineReply(BaseModel):
    encoder: str
    scale: float
    cosines: tuple[float, float]
    tie: float


class Clip:
    """Prefers A with probability sigmoid(scale (cos A - cos B)).

    That is the encoder's own softmax over the two pictures.
    """

    needs: ClassVar = ("torch",)
    parser = PARSER
    endpoint = ""

    def __init__(self, card: JudgeCard, context: JudgeContext) -> None:
        scorer = encoder_name(context.scorer)
        self._name = card.model or scorer
        if not self._name:
            raise Missing(
                "the run does not say which encoder scores it",
                remedy="Name one with --model; see: htbench list encoders",
            )
        registry.check("encoders", self._name)
        self._device, self._meter = context.device, context.meter
        self._encoder: _CachedEncoder | None = None
        self.model = context.scorer if self._name == scorer else self._load_encoder().id
        try:
            self._tie = _Settings.model_validate(card.settings).tie
        except ValidationError as error:
            raise UsageError(
                f"settings of judge {card.name!r} are not valid: {reading.first_problem(error)}"
            ) from None
        self.encoders = (self._name,)

    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        """Answers in the order of the questions, many pictures embedded at once.

        Raises:
            Refused: if the run was scored by another version of the encoder than is installed.
        """
        granted = takewhile(lambda _: self._meter.reserve(Usage()), questions)
        while batch := list(islice(granted, _BATCH_SIZE)):
            encoder = self._load_encoder()
            if encoder.id != self.model:
                raise Refused(
                    f"the run was scored by {self.model}, and here is {encoder.id}",
                    remedy="Run it again first: scores are made anew.",
                )
            pictures = {shown.name: shown.data for question in batch for shown in _both(question)}
            vectors = encoder.embed_pictures(pictures)
            for question in batch:
                text, both = encoder.embed_text(question.text), _both(question)
                reply = {
                    "encoder": encoder.id,
                    "scale": encoder.encoder.scale,
                    "cosines": [float(vectors[shown.name] @ text) for shown in both],
                    "tie": self._tie,
                }
                yield JudgeAnswer(key=question.key, body=json.dumps(reply))

    def _load_encoder(self) -> "_CachedEncoder":
        if self._encoder is None:
            self._encoder = _CachedEncoder(
                registry.load("encoders", self._name)(devices.choose(self._device))
            )
        return self._encoder

    def read(self, body: str) -> Verdict:
        """The verdict from the two cosines."""
        try:
            reply = _CosineReply.model_validate(reading.parse_json(body))
        except ValueError:
            return Verdict(outcome="unusable", reason="not a pair of cosines")
        difference = reply.scale * (reply.cosines[1] - reply.cosines[0])
        first = 1 / (1 + math.exp(max(-700.0, min(700.0, difference))))
        choice: Choice = "A" if first > 0.5 else "B"
        if abs(first - 0.5) <= reply.tie:
            choice = "tie"
        return Verdict(outcome="answered", choice=choice, preference=first, coverage=1.0)


def _both(question: Question) -> tuple[ShownPicture, ShownPicture]:
    if question.second is None:
        raise UsageError("judges of kind 'clip' compare two pictures, and this is a single one")
    return question.first, question.second


class _CachedEncoder:
    """Embeds each picture and each text once."""

    def __init__(self, encoder: "Encoder") -> None:
        self.encoder = encoder
        self.id = f"{encoder.name}@{encoder.revision}"
        self.embed_text = lru_cache(maxsize=4096)(lambda words: encoder.texts([words])[0])
        self._vectors: dict[str, Tensor] = {}

    def embed_pictures(self, files: dict[str, bytes]) -> "dict[str, Tensor]":
        fresh = [name for name in files if name not in self._vectors]
        if fresh:
            if len(self._vectors) > _CACHE_SIZE:
                self._vectors = {
                    name: self._vectors[name] for name in files if name in self._vectors
                }
            opened = [open_picture(files[name]) for name in fresh]
            # a vector may depend on the size of its batch, to the last bit
            filler = opened[-1:] * (-len(opened) % 64)
            self._vectors.update(zip(fresh, self.encoder.images([*opened, *filler]), strict=False))
        return self._vectors
