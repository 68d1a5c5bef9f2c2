"""The capability of an endpoint: the form of reply and the parameters that it accepts.

All are requested at first, and fewer once the endpoint refuses or ignores one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from pydantic import ConfigDict, TypeAdapter

from htbench.core import reading

ReplyForm = Literal["strict", "schema", "object", "plain"]
REPLY_FORMS: tuple[ReplyForm, ...] = ("strict", "schema", "object", "plain")
"""Ways to request a reply's form: JSON schema with `strict`, without it, JSON mode, in words."""
LIMITS = ("max_tokens", "max_completion_tokens")
"""Parameters that limit a reply; the first one is sent as the second where it is refused."""
_IMAGE_LIMIT = re.compile(
    r"(one|1|single|multiple|many|more than|second|at most) .{0,40}image"
    r"|image.{0,60}(at most|limit|only one|not support)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"unsupported|unknown|unrecogni[sz]ed|unexpected|not supported|not permitted|does not support",
    re.IGNORECASE,
)
"""Words of a refusal of a parameter as such, whatever its value."""
_NUMBER = re.compile(
    r"(?:at most|maximum(?: \w+){0,3}|max|up to|<=|≤|\bto|\band|[0-9],) ?(?:is |of )?(\d{1,3})\b",
    re.IGNORECASE,
)
"""The largest value that a refusal allows."""


@dataclass(frozen=True, kw_only=True)
class Capability:
    """The requests that an endpoint accepts, as far as is known."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    form: ReplyForm = "strict"
    several: bool = True
    """False: it takes one picture per message, so both are sent side by side in one."""
    without: tuple[str, ...] = ()
    """Parameters that it refuses."""
    most_logprobs: int | None = None
    """The most alternatives per token that it gives; None: as many as are requested."""
    sure: bool = False
    """True once a reply in this form could be read."""

    def parameters(
        self, decoding: Mapping[str, object], schema: Mapping[str, object]
    ) -> dict[str, Any]:
        """Parameters of a call."""
        accepted = {name: value for name, value in decoding.items() if name not in self.without}
        if self.most_logprobs is not None and "top_logprobs" in accepted:
            accepted["top_logprobs"] = self.most_logprobs
        renamed = "max_tokens" in self.without and "max_completion_tokens" not in self.without
        if renamed and "max_tokens" in decoding:
            accepted["max_completion_tokens"] = decoding["max_tokens"]
        return {**accepted, **self._format(schema)}

    def reply_limit(self, decoding: Mapping[str, object]) -> int | None:
        """The most tokens of a reply that a call asks for; None without a limit."""
        limits = [decoding.get(name) for name in LIMITS if name not in self.without]
        renamed = [decoding.get("max_tokens")] if LIMITS[1] not in self.without else []
        whole = [limit for limit in (*limits, *renamed) if isinstance(limit, int) and limit > 0]
        return min(whole, default=None)

    def _format(self, schema: Mapping[str, object]) -> dict[str, Any]:
        if self.form == "plain":
            return {}
        if self.form == "object":
            return {"response_format": {"type": "json_object"}}
        json_schema: dict[str, Any] = {"name": "verdict", "schema": dict(schema)}
        if self.form == "strict":
            json_schema["strict"] = True
        return {"response_format": {"type": "json_schema", "json_schema": json_schema}}

    def after_refusal(self, message: str, parameters: Mapping[str, object]) -> Self | None:
        """The capability after a refusal of a call with `parameters`, by the names in its message.

        None if nothing more can be left out.
        """
        if self.several and _IMAGE_LIMIT.search(message):
            return replace(self, several=False)
        if named := self.without_named(message, parameters):
            return named
        if self.sure:
            return None
        if lower := self.next_form():
            return lower
        rest = tuple(sorted({*self.without, *parameters}))
        return replace(self, without=rest) if rest != self.without else None

    def without_named(self, message: str, parameters: Mapping[str, object]) -> Self | None:
        """The capability without the parameters that a refusal names; None if it names none.

        Of alternatives per token it asks for as many as the message says, then for 5 and for 1.
        """
        named = {
            name
            for name in parameters
            if name not in self.without and re.search(rf"\b{re.escape(name)}\b", message)
        }
        most = parameters.get("top_logprobs")
        if "top_logprobs" in named and isinstance(most, int) and not _UNKNOWN.search(message):
            told = [int(number) for number in _NUMBER.findall(message)]
            fewer = [number for number in (*told, 5, 1) if 0 < number < most]
            if fewer:
                return replace(self, most_logprobs=fewer[0] if told else max(fewer))
        if named & {"logprobs", "top_logprobs"}:
            named |= {"logprobs", "top_logprobs"}  # one is of no use without the other
        return replace(self, without=tuple(sorted({*self.without, *named}))) if named else None

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
