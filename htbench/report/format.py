"""Numbers, units and words as people read them."""

import json
import math
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

_UNITS = (
    (86_400.0, 172_800.0, "d"),
    (3600.0, 7200.0, "h"),
    (60.0, 120.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
)


def score(value: float, *, signed: bool = False) -> str:
    """Three decimals; a dash where it is not defined."""
    if not math.isfinite(value):
        return "—"
    rounded = round(value, 3) + 0.0  # adding 0.0 takes the sign off a negative zero
    return f"{rounded:{'+' if signed and rounded else ''}.3f}".replace("-", "−")


def quantity(value: float) -> str:
    """Three significant digits, thousands separated: 0.0123, 12.3, 1,230."""
    if not math.isfinite(value):
        return "—"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    return f"{rounded:,.{decimals}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds with three significant digits in the unit that people would use."""
    if not math.isfinite(seconds):
        return "—"
    if seconds == 0:
        return "0 s"
    size, unit = next(
        ((size, unit) for size, least, unit in _UNITS if abs(float(f"{seconds:.3g}")) >= least),
        (1e-6, "µs"),
    )
    return f"{quantity(seconds / size)} {unit}"


def as_mapping(value: object) -> dict[str, object]:
    return {str(key): part for key, part in value.items()} if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def as_number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def strength(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def p_value(p: float) -> str:
    """A p in words; small ones are not told apart, as resampling cannot."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float, decimals: int = 0) -> str:
    """Such as `41 %`."""
    return f"{100 * share:.{decimals}f} %"


def join_names(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return (
        " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else ""
    )


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


def linkify(text: str) -> Markup:
    """`text` with its addresses as links; all else in it is text."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    links = [
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if k % 2 else escape(part)
        for k, part in enumerate(parts)
    ]
    return Markup("").join(links)


FILTERS = {
    each.__name__: each
    for each in (score, duration, quantity, plain, linkify, strength, join_names, p_value, percent)
}
"""For templates."""
