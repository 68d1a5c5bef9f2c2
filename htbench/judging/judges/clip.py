"""Judges of kind `clip`: the picture nearer to the rubric's words wins. No vision-language model, and says so."""

import json
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core import device as devices
from htbench.core import registry
from htbench.core.errors import Missing, Refused, UsageError
from htbench.judging.card import JudgeCard
from htbench.judging.judge import Answer, Question, Setting, Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from htbench.steering.encoder import Encoder

PARSER = "clip-1"
_AT_ONCE = 128
"""Questions whose pictures are embedded together."""
_KEPT = 50_000
"""Embeddings kept."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    tie: float = Field(default=0.02, ge=0, lt=0.5)
    """A tie if the preference is this near to a half."""


class _Reply(BaseModel):
    encoder: str
    scale: float
    cosines: tuple[float, float]
    tie: float


class Clip:
    """Prefers A with probability sigmoid(scale (cos A - cos B)), the encoder's own softmax over the two pictures."""

    parser = PARSER
    endpoint = ""

    def __init__(self, card: JudgeCard, setting: Setting) -> None:
        scorer, wanted = setting.scorer.partition("@")[0], card.model
        self._name = wanted or scorer
        if not self._name:
            raise Missing("the run does not say which encoder scores it", remedy="Name one with --model; see: htbench list encoders")
        registry.check("encoders", self._name)
        self._device = setting.device
        self._seer: _Seer | None = None
        self.model = setting.scorer if self._name == scorer else self._open().id
        try:
            self._tie = _Settings.model_validate(card.settings).tie
        except ValidationError as error:
            raise UsageError(f"settings of judge {card.name!r} are not valid: {error.errors()[0]['msg']}") from None
        self.encoders = (self._name,)

    def answers(self, questions: Iterator[Question]) -> Iterator[Answer]:
        """Answers in the order of the questions, many pictures embedded at once.

        Raises:
            Refused: if the run was scored by another version of the encoder than there is here.
        """
        while part := list(islice(questions, _AT_ONCE)):
            seer = self._open()
            if seer.id != self.model:
                raise Refused(f"the run was scored by {self.model}, and here is {seer.id}", remedy="Run it again first: scores are made anew.")
            pictures = {shown.name: shown.data for question in part for shown in (question.first, question.second)}
            vectors = seer.look(pictures)
            for question in part:
                words = seer.text(question.text)
                cosines = tuple(float(vectors[shown.name] @ words) for shown in (question.first, question.second))
                said = {"encoder": seer.id, "scale": seer.encoder.scale, "cosines": cosines, "tie": self._tie}
                yield Answer(key=question.key, body=json.dumps(said))

    def _open(self) -> "_Seer":
        if self._seer is None:
            self._seer = _Seer(registry.load("encoders", self._name)(devices.choose(self._device)))
        return self._seer

    def read(self, body: str) -> Verdict:
        """The preference that two cosines make."""
        import math

        try:
            said = _Reply.model_validate_json(body)
        except ValidationError:
            return Verdict(outcome="unusable", reason="not a pair of cosines")
        first = 1 / (1 + math.exp(max(-700.0, min(700.0, said.scale * (said.cosines[1] - said.cosines[0])))))
        choice = "tie" if abs(first - 0.5) <= said.tie else "A" if first > 0.5 else "B"
        return Verdict(outcome="answered", choice=choice, first=first, covered=1.0)  # type: ignore[arg-type]  # one of the three


class _Seer:
    """Embeds pictures and texts once."""

    def __init__(self, encoder: "Encoder") -> None:
        self.encoder = encoder
        self.id = f"{encoder.name}@{encoder.revision}"
        self.text = lru_cache(maxsize=4096)(lambda words: encoder.texts([words])[0])
        self._known: dict[str, Tensor] = {}

    def look(self, pictures: dict[str, bytes]) -> "dict[str, Tensor]":
        from PIL import Image

        fresh = [name for name in pictures if name not in self._known]
        if fresh:
            if len(self._known) > _KEPT:
                self._known = {name: self._known[name] for name in pictures if name in self._known}
            opened = [Image.open(BytesIO(pictures[name])) for name in fresh]
            filler = opened[-1:] * (-len(opened) % 64)  # a vector may depend on the size of its batch, to the last bit
            self._known.update(zip(fresh, self.encoder.images([*opened, *filler]), strict=False))
        return self._known
