"""Numbers, durations, intervals and facts as text for people."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

from htbench.run.fact_table import AgainstFacts
from htbench.stats.estimates import Estimate
from htbench.stats.families import MIN_CLUSTERS

_UNITS = (
    (86_400.0, 172_800.0, "d"),
    (3600.0, 7200.0, "h"),
    (60.0, 120.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
)


def score(value: float, *, signed: bool = False) -> str:
    """Two decimals, without a zero before the point; a dash for NaN and infinity."""
    if not math.isfinite(value):
        return "—"
    rounded = round(value, 2) + 0.0  # adding 0.0 takes the sign off a negative zero
    text = f"{rounded:{'+' if signed and rounded else ''}.2f}"
    return (text.replace("0.", ".", 1) if abs(rounded) < 1 else text).replace("-", "−")


def quantity(value: float) -> str:
    """Three significant digits, thousands separated: 0.0123, 12.3, 1,230; ∞; a dash for NaN."""
    if not math.isfinite(value):
        return "—" if math.isnan(value) else "∞" if value > 0 else "−∞"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    return f"{rounded:,.{decimals}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Three significant digits in the unit that suits the number of seconds."""
    if not math.isfinite(seconds):
        return "—"
    if seconds == 0:
        return "0 s"
    size, unit = next(
        ((size, unit) for size, least, unit in _UNITS if abs(float(f"{seconds:.3g}")) >= least),
        (1e-6, "µs"),
    )
    return f"{quantity(seconds / size)} {unit}"


def strength(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def bundle_note(against: AgainstFacts) -> str:
    """The bundle that rows of a leaderboard are from, with the start of its digest."""
    return f"from bundle {against.bundle}, SHA-256 {against.sha256[:16]}: not made by this run"


def p_value(p: float) -> str:
    """A p-value; values below 0.001 are not resolved, as resampling cannot."""
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def percent(share: float, decimals: int = 0) -> str:
    """A share in percent, such as `41 %`."""
    return f"{100 * share:.{decimals}f} %"


def interval(low: float, high: float, number: Callable[[float], str] = score) -> str:
    """The two ends, each written by `number`, such as `[.12, .17]`."""
    return f"[{number(low)}, {number(high)}]"


def estimate_text(value: float, low: float, high: float) -> str:
    """A score and its interval, such as `0.144 [0.124, 0.165]`; the score alone without one."""
    return score(value) + ("" if math.isnan(low) else f" {interval(low, high)}")


def odds(rate: float) -> str:
    """The odds of a share: `3.00×` for 0.75, `∞` for 1."""
    return "∞" if rate == 1 else f"{quantity(rate / (1 - rate))}×" if math.isfinite(rate) else "—"


def estimate(value: Estimate | None, number: Callable[[float], str], *, missing: str = "-") -> str:
    """The mean and its interval, such as `.14 [.12, .17]`; the mean alone without one."""
    if value is None:
        return missing
    has_interval = not math.isnan(value.low)
    around = f" {interval(value.low, value.high, number)}" if has_interval else ""
    return number(value.mean) + around


def concept_count(value: Estimate) -> str:
    """The concepts of an estimate and how many of them are independent, such as `167 concepts,
    53.7 independent of each other`.
    """
    text = f"{value.n:,} concept" + ("s" if value.n != 1 else "")
    return (
        f"{text}, {value.clusters:.1f} independent of each other" if _has_related(value) else text
    )


def sample_size(value: Estimate) -> str:
    """`concept_count` for a table's cell, such as `n = 167 (53.7 independent)`."""
    independent = f" ({value.clusters:.1f} independent)" if _has_related(value) else ""
    return f"n = {value.n:,}{independent}"


def interval_basis(values: Iterable[Estimate | None]) -> str:
    """A sentence on the concepts that intervals are over: those of the largest of `values`."""
    value = max((each for each in values if each), key=lambda each: each.n, default=None)
    if not value:
        return ""
    if not value.clusters >= MIN_CLUSTERS:
        return f"No interval: too few independent concepts ({concept_count(value)})."
    related = (
        ": concepts that share a word are not independent, and count as fewer"
        if _has_related(value)
        else ""
    )
    return f"Intervals are over {concept_count(value)}{related}."


def _has_related(value: Estimate) -> bool:
    return value.clusters < value.n - 0.05


def fit_seed_spread(headline: Estimate | None) -> str:
    """The number of fit seeds of a headline score and their spread; empty for one fit seed."""
    if headline is None or headline.fit_seeds == 1:
        return ""
    spread = score(headline.seed_sd)
    return f"mean over {headline.fit_seeds} fit seeds, between which concept gain has SD {spread}"


def join_names(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return (
        " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else ""
    )


def plain(value: object) -> str:
    """A stored fact as text."""
    if value is None or value in ("", [], {}):
        return "—"
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(plain(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def machine(text: str) -> str:
    """A stored description of a machine, with `1 thread` in the singular."""
    return re.sub(r"\b1 threads\b", "1 thread", text)


def linkify(text: str) -> Markup:
    """`text` with its addresses as links and all else escaped."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    links = [
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if k % 2 else escape(part)
        for k, part in enumerate(parts)
    ]
    return Markup("").join(links)


FILTERS = {
    function.__name__: function
    for function in (
        score,
        duration,
        quantity,
        plain,
        linkify,
        machine,
        strength,
        join_names,
        p_value,
        percent,
        odds,
        sample_size,
        concept_count,
    )
}
"""Filters of the templates, by name."""
