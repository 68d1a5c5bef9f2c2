"""Facts of a run in words."""

import json
import math
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from htbench import chart


def mapping(value: object) -> dict[str, object]:
    return {str(key): part for key, part in value.items()} if isinstance(value, dict) else {}


def listing(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def strength(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def chance(p: float) -> str:
    """A p in words; small ones are not told apart, as resampling cannot."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float, decimals: int = 0) -> str:
    """Such as `41 %`."""
    return f"{100 * share:.{decimals}f} %"


def series(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else ""


def plain(value: object) -> str:
    """A fact in words."""
    if value is None or value in ("", [], {}):
        return "—"
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(plain(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cite(text: str) -> Markup:
    """`text` with its addresses as links; all else in it is text."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    links = [Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if k % 2 else escape(part) for k, part in enumerate(parts)]
    return Markup("").join(links)


FILTERS = {each.__name__: each for each in (chart.score, chart.duration, chart.quantity, plain, cite, strength, series, chance, percent)}
"""For templates."""
