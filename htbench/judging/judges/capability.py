"""The capability of an endpoint: the form of reply and the parameters that it accepts.

All are requested at first, and fewer once the endpoint refuses or ignores one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from pydantic import ConfigDict, TypeAdapter

from htbench.core import reading

ReplyForm = Literal["strict", "schema", "object", "plain"]
REPLY_FORMS: tuple[ReplyForm, ...] = ("strict", "schema", "object", "plain")
"""Ways to request a reply's form: JSON schema with `strict`, without it, JSON mode, in words."""
_IMAGE_LIMIT = re.compile(
    r"(one|1|single|multiple|many|more than|second|at most) .{0,40}image"
    r"|image.{0,60}(at most|limit|only one|not support)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Capability:
    """The requests that an endpoint accepts, as far as is known."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    form: ReplyForm = "strict"
    several: bool = True
    """False: it takes one picture per message, so both are sent side by side in one."""
    without: tuple[str, ...] = ()
    """Parameters that it refuses."""
    sure: bool = False
    """True once a reply in this form could be read."""

    def parameters(
        self, decoding: Mapping[str, object], schema: Mapping[str, object]
    ) -> dict[str, Any]:
        """Parameters of a call."""
        accepted = {name: value for name, value in decoding.items() if name not in self.without}
        renamed = "max_tokens" in self.without and "max_completion_tokens" not in self.without
        if renamed and "max_tokens" in decoding:
            accepted["max_completion_tokens"] = decoding["max_tokens"]
        return {**accepted, **self._format(schema)}

    def _format(self, schema: Mapping[str, object]) -> dict[str, Any]:
        if self.form == "plain":
            return {}
        if self.form == "object":
            return {"response_format": {"type": "json_object"}}
        json_schema: dict[str, Any] = {"name": "verdict", "schema": dict(schema)}
        if self.form == "strict":
            json_schema["strict"] = True
        return {"response_format": {"type": "json_schema", "json_schema": json_schema}}

    def after_refusal(self, message: str, parameters: Sequence[str]) -> Self | None:
        """The capability after a refusal of a call with `parameters`, by the names in its message.

        None if nothing more can be left out.
        """
        if self.several and _IMAGE_LIMIT.search(message):
            return replace(self, several=False)
        named = [
            name
            for name in parameters
            if name not in self.without and re.search(rf"\b{re.escape(name)}\b", message)
        ]
        if "logprobs" in named and "top_logprobs" not in named:
            named.append("top_logprobs")  # not allowed without logprobs
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
        """The next weaker form; None after the last."""
        if self.form == "plain":
            return None
        return replace(self, form=REPLY_FORMS[REPLY_FORMS.index(self.form) + 1])

    def to_json(self) -> str:
        """The capability as text for `from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The capability that `to_json` wrote.

        Raises:
            ValueError: for any other text.
        """
        return TypeAdapter(cls).validate_python(reading.parse_json(text))
