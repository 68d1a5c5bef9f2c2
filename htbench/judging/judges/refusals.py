"""Errors in an endpoint's own words, and the ones after which asking again is of no use."""

import html
import re
from dataclasses import dataclass
from typing import Any

from htbench.core import reading

_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|credit|balance|funds)|exceeded your current quota|billing"
    r"|(?:more|out of|no|not enough) credits?\b|spending limit|payment required|account balance",
    re.IGNORECASE,
)
_NO_PICTURES = re.compile(
    r"(?:images?|vision|multi-?modal)(?: inputs?)?(?: is| are)? not supported"
    r"|(?:not|n't|no) support (?:for )?(?:any )?(?:images?|vision|multi-?modal)\b"
    r"|no endpoints found that support image|not a (?:multi-?modal|vision)|\bmmproj\b"
    r"|image_url is only supported|unknown variant .?image_url",
    re.IGNORECASE,
)
"""Words of servers for a model without sight, such as llama.cpp, vLLM, OpenAI and DeepSeek."""
_TAGS = re.compile(r"<(?:script|style)\b.{0,20000}?</(?:script|style)>|<[^<>]{0,2000}>", re.DOTALL)
_MAX_TEXT = 4000
"""The part of a body that is looked at where it is no JSON, in characters."""


@dataclass(frozen=True, kw_only=True)
class EndpointError:
    """An error that came with the status of a success."""

    status: int
    """The status that the error names; 400 where it names none."""
    message: str


def error_in(body: str) -> EndpointError | None:
    """The error in the body of a reply of status 200; None for anything else."""
    value = _first(_json(body))
    if not isinstance(value, dict) or value.get("choices"):
        return None
    error = value.get("error")
    is_error = bool(error) or value.get("object") == "error" or "detail" in value
    message = _message(value)
    if not is_error or not message:
        return None
    codes = [error.get("code"), error.get("status")] if isinstance(error, dict) else []
    codes += [value.get("code"), value.get("status"), value.get("status_code")]
    numbers = [int(str(code)) for code in codes if re.fullmatch(r"[45]\d\d", str(code))]
    return EndpointError(status=numbers[0] if numbers else 400, message=message)


def words(body: str) -> str:
    """The message in the body of an error, as one line; of a page its text."""
    message = _message(_first(_json(body)))
    if message is None:
        message = html.unescape(_TAGS.sub(" ", body[:_MAX_TEXT]))
    return " ".join(message.split())


def is_about_credit(status: int, message: str) -> bool:
    """True if the endpoint wants to be paid first, which no wait changes."""
    return status == 402 or (status in (400, 403, 429) and bool(_CREDIT.search(message)))


def is_about_model(message: str, model: str) -> bool:
    """True if a message speaks of the model, and not of the address."""
    return model.lower() in message.lower() or bool(re.search(r"\bmodel", message, re.IGNORECASE))


def is_about_pictures(message: str) -> bool:
    """True if the model takes no pictures at all, which no other request changes."""
    return bool(_NO_PICTURES.search(message))


def _json(body: str) -> Any:
    try:
        return reading.parse_json(body)
    except ValueError:
        return None


def _first(value: Any) -> Any:
    """The first error where an endpoint sends a list of them."""
    return value[0] if isinstance(value, list) and value else value


def _message(value: Any) -> str | None:
    """The message in an error, in whichever field it is."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        texts = [text for each in value if (text := _message(each))]
        return "; ".join(texts[:3]) or None
    if isinstance(value, dict):
        for name in ("error", "message", "msg", "detail", "details", "errors", "reason"):
            if text := _message(value.get(name)):
                return text
    return None
