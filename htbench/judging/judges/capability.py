"""What an endpoint can do: it is asked for everything, and for less where it refuses or does not keep to it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

ReplyForm = Literal["strict", "schema", "object", "plain"]
REPLY_FORMS: tuple[ReplyForm, ...] = ("strict", "schema", "object", "plain")
"""How a reply's form is asked for: JSON schema with `strict`, without it, JSON mode, in words."""
_IMAGE_LIMIT = re.compile(
    r"(one|1|single|multiple|many|more than|second|at most) .{0,40}image|image.{0,60}(at most|limit|only one|not support)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What is asked of an endpoint."""

    form: ReplyForm = "strict"
    several: bool = True
    """Whether it takes several pictures in a message; else both go side by side into one."""
    without: tuple[str, ...] = ()
    """Parameters that it refuses."""
    sure: bool = False
    """Whether a reply in this form was of use."""

    def parameters(
        self, decoding: Mapping[str, object], schema: Mapping[str, object]
    ) -> dict[str, Any]:
        """Parameters of a call."""
        chosen = {name: value for name, value in decoding.items() if name not in self.without}
        if (
            "max_tokens" in self.without
            and "max_tokens" in decoding
            and "max_completion_tokens" not in self.without
        ):
            chosen["max_completion_tokens"] = decoding["max_tokens"]
        return {**chosen, **self._format(schema)}

    def _format(self, schema: Mapping[str, object]) -> dict[str, Any]:
        if self.form == "plain":
            return {}
        if self.form == "object":
            return {"response_format": {"type": "json_object"}}
        asked = {
            "name": "verdict",
            "schema": dict(schema),
            **({"strict": True} if self.form == "strict" else {}),
        }
        return {"response_format": {"type": "json_schema", "json_schema": asked}}

    def after_refusal(self, message: str, parameters: Sequence[str]) -> Self | None:
        """What is left after a refusal of parameters `parameters`, by what its message names; None if nothing can be left out any more."""
        if self.several and _IMAGE_LIMIT.search(message):
            return replace(self, several=False)
        named = [
            name
            for name in parameters
            if name not in self.without and re.search(rf"\b{re.escape(name)}\b", message)
        ]
        named += [
            name for name in ("top_logprobs",) if "logprobs" in named and name not in named
        ]  # the one makes no sense without the other
        plain = [name for name in named if name != "response_format"]
        if plain:
            return replace(self, without=tuple(sorted({*self.without, *plain})))
        if self.sure:
            return None
        if lower := self.next_form():
            return lower
        rest = tuple(sorted({*self.without, *parameters} - {"response_format"}))
        return replace(self, without=rest) if rest != self.without else None

    def next_form(self) -> Self | None:
        """The next form that asks for less; None after the last."""
        return (
            None
            if self.form == "plain"
            else replace(self, form=REPLY_FORMS[REPLY_FORMS.index(self.form) + 1])
        )

    def to_json(self) -> str:
        """As text that `restore` reads."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From what `text` wrote."""
        found = json.loads(text)
        return cls(**{**found, "without": tuple(found["without"])})
