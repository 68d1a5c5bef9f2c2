"""The folder of a run: that of the plan, or a run of the plan that is there and can be widened."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from htbench.core import content, registry
from htbench.core.errors import HtbenchError
from htbench.run import plan as plans
from htbench.run.fact_table import Facts
from htbench.run.plan import Plan, RunOptions
from htbench.run.store import Store

_WIDENED = (
    "methods",
    "strengths",
    "scorers",
    "limit",
    "prompts",
    "seeds",
    "fit_seeds",
    "tune_strength",
    "strength_scale",
    "wording",
)
"""Settings of which a run can be given more, while everything that it has stays as it is."""
_TUNING = ("tune_concepts", "tune_floor")
"""Settings that have no effect where nothing is chosen or learnt on dev concepts."""


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The folder of a run, and the plan that is carried out there."""

    folder: Path
    plan: Plan
    """The plan that was asked for, with what the run in the folder has already."""
    note: str = ""
    """A sentence on the run that goes on; empty where the plan is that of the folder."""


def find_folder(plan: Plan, options: RunOptions, *, given: str | None) -> RunFolder:
    """The folder for `plan`, made from the plan file or shipped plan `given` with changes.

    Without a name among the options, a run of `given` goes on if the plan differs only in settings
    of which a run can be given more. It then keeps all that it has.
    """
    runs = Path(options.runs)
    if options.name:
        return RunFolder(folder=runs / options.name, plan=plan)
    name, start = _name(plan, given), _start(plan, given)
    has_own = name != start and (runs / name / "run.sqlite").is_file()
    stored = None if given is None or has_own else _stored_plan(runs / start)
    wider = stored and widen(stored, plan)
    if stored is None or wider is None:
        return RunFolder(folder=runs / name, plan=plan)
    return RunFolder(folder=runs / start, plan=wider, note=_note(runs / start, stored, wider, plan))


def widen(stored: Plan, plan: Plan) -> Plan | None:
    """The plan of all that a run of `stored` has and `plan` asks for.

    None where they differ in something else, or in the scorer of the headline.
    """
    both_tune = stored.needs_dev_run and plan.needs_dev_run
    free = {*_WIDENED, *(() if both_tune else _TUNING)}
    own, asked = (each.model_dump(exclude=free) for each in (stored, plan))
    if own != asked or not _has_headline_of(stored.scorers, plan.scorers):
        return None
    tuned = plan if plan.needs_dev_run else stored
    return stored.model_copy(
        update={
            "methods": _union(stored.methods, plan.methods),
            "strengths": tuple(sorted({*stored.strengths, *plan.strengths})),
            "scorers": _union(stored.scorers, plan.scorers),
            "limit": (
                max(stored.limit, plan.limit)
                if stored.limit is not None and plan.limit is not None
                else None
            ),
            "prompts": max(stored.prompts, plan.prompts),
            "seeds": max(stored.seeds, plan.seeds),
            "fit_seeds": max(stored.fit_seeds, plan.fit_seeds),
            "tune_strength": stored.tune_strength or plan.tune_strength,
            "strength_scale": (stored if stored.is_perceptual else plan).strength_scale,
            "wording": plans.in_order((*stored.wording, *plan.wording)),
            **{name: getattr(tuned, name) for name in _TUNING},
        }
    )


def _has_headline_of(stored: Sequence[str], scorers: Sequence[str]) -> bool:
    """True if `scorers` name no encoder, or the one that is the first of the `stored` ones."""
    first, own = (
        next((name for name in names if name in registry.plugins("encoders")), None)
        for names in (stored, scorers)
    )
    return own in (None, first)


def _union(stored: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """All names, those of files once however their paths are written."""
    union: dict[object, str] = {}
    for name in (*stored, *names):
        union.setdefault(Path(name).resolve() if name.endswith(".toml") else name, name)
    return tuple(union.values())


def _note(folder: Path, stored: Plan, wider: Plan, plan: Plan) -> str:
    """A sentence that says what the run is given, or that it has more than `plan` asks for."""
    if more := _additions(stored, wider):
        return f"goes on with run {folder}, which gets {more}"
    if more := _additions(plan, wider):
        return f"run {folder} has all of this, and more: {more}"
    return ""


def _additions(plan: Plan, wider: Plan) -> str:
    """The settings of a `wider` plan that `plan` lacks, in words."""
    parts = []
    for name in _WIDENED:
        old, new = getattr(plan, name), getattr(wider, name)
        title = name.replace("_", " ")
        if isinstance(new, tuple) and (added := [each for each in new if each not in old]):
            texts = (f"{each:g}" if isinstance(each, float) else each for each in added)
            parts.append(f"{title} {', '.join(texts)}")
        elif new is None and old is not None:
            parts.append(f"no {title}")
        elif not isinstance(new, tuple) and new != old:
            parts.append(title if new is True else f"{title} {new}")
    return "; ".join(parts)


def _stored_plan(folder: Path) -> Plan | None:
    """The plan of the run in `folder`; None where there is none that can be read."""
    with suppress(HtbenchError), Store.read(folder) as store:
        stored = Facts.read(store).plan.stored
        return plans.build(stored) if stored else None
    return None


def _start(plan: Plan, given: str | None) -> str:
    return Path(given).stem[:40] if given else registry.own_name("models", plan.model)


def _name(plan: Plan, given: str | None) -> str:
    """A plan's own name if it is run as it stands; else one that differs when the settings do.

    More or fewer fit seeds do not change it: they continue the run.
    """
    start = _start(plan, given)
    if given and _identity(plan) == _identity(plans.build(plans.read(given))):
        return start
    return f"{start}-{content.digest(_identity(plan))[:8]}"


def _identity(plan: Plan) -> dict[str, object]:
    return plans.comparable(plan.model_dump(mode="json"))
