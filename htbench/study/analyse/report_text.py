"""Names, figures and a user's own words as the text of a study's report in Markdown."""

import html
import math
import re
from collections.abc import Callable

from htbench.core.display import printable
from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion

_SPECIAL = re.compile(r"[\\`*_{}\[\]()#!|~$]")
_PLAIN = re.compile(r"[\w .,:;+@/=-]{1,200}")


def escape(text: str) -> str:
    """A text as it is in Markdown, HTML and terminals, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", html.escape(one_line(text, max_length=2000), quote=False))


def name_text(text: str) -> str:
    """A name in the type of code, if it has no signs that end it."""
    return f"`{text}`" if _PLAIN.fullmatch(text) else escape(text)


def own_text(text: str) -> str:
    """The user's own text in a cell, with its Markdown."""
    return (
        html.escape(one_line(text, max_length=20_000), quote=False).replace("|", "/")
        or "not stated"
    )


def one_line(text: str, *, max_length: int = 200) -> str:
    """A text without line breaks, control characters and further spaces."""
    return " ".join(printable(text, max_length=max_length).split())


def interval_text(interval: Interval) -> str:
    """An estimate with its interval, to three decimals."""
    return with_interval(interval, lambda value: f"{value:.3f}")


def times_text(ratio: Interval) -> str:
    """A ratio with its interval, such as `2.00x [1.50, 3.00]`."""
    value = with_interval(ratio, lambda value: f"{value:.2f}")
    head, space, rest = value.partition(" ")
    return f"{head}{'' if head in ('-', 'always') else 'x'}{space}{rest}"


def with_interval(interval: Interval, number: Callable[[float], str]) -> str:
    """The value with the interval, if both are known; an infinite ratio is `always`."""
    value, ends = interval.value, (interval.low, interval.high)
    if math.isnan(value):
        return "-"
    shown = "always" if math.isinf(value) else number(value)
    if any(map(math.isnan, ends)):
        return shown
    low, high = ("no limit" if math.isinf(end) else number(end) for end in ends)
    return f"{shown} [{low}, {high}]"


def share_text(share: Proportion) -> str:
    """A share with its interval and the number that it is of."""
    if not share.of:
        return "nothing to tell it from"
    low, high = share.interval
    interval = crossed.NO_INTERVAL if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{share.value:.3f} [{interval}] of {share.of:,}"


def number_text(value: float) -> str:
    """A number to three decimals; `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"
