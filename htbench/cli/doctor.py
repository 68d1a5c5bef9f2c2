"""`htbench doctor`: devices, versions, caches, and what each model needs and lacks."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import typer

from htbench.cli.options import Json
from htbench.core import content, registry
from htbench.core.errors import HtbenchError
from htbench.steering import baseline, concept


@dataclass(frozen=True, kw_only=True)
class DoctorCheck:
    """One thing that was looked at."""

    what: str
    found: str
    well: bool = True
    there: bool = True
    """False for what is optional and not here, which is no illness."""


def doctor(as_json: Json = False) -> None:
    """Look at devices, versions, caches and what each model needs; exit code 4 if anything is missing."""
    from htbench.core.display import print_json, printable

    ill = 0
    for sign in _diagnose():
        ill += not sign.well
        if as_json:
            print_json(**asdict(sign))
        else:
            mark = "✗" if not sign.well else "✓" if sign.there else "–"
            typer.echo(f"{mark} {sign.what:<28} {printable(sign.found, max_length=500)}")
    raise typer.Exit(4 if ill else 0)


def _diagnose() -> Iterator[DoctorCheck]:
    """All there is to know; whatever is not well says what is missing."""
    yield DoctorCheck(what="python", found=sys.version.split()[0], well=sys.version_info >= (3, 11))
    yield from _packages()
    yield from _devices()
    yield from _caches()
    yield from _content()
    for group in ("models", "encoders"):
        for name in sorted(registry.plugins(group)):
            yield _plugin(group, name)


def _packages() -> Iterator[DoctorCheck]:
    from packaging.requirements import Requirement

    for line in requires("htbench") or []:
        wanted = Requirement(line)
        extra = wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield DoctorCheck(
                what=wanted.name,
                found="not installed" + (", optional" if extra else ""),
                well=extra,
                there=False,
            )
        else:
            right = wanted.specifier.contains(found, prereleases=True)
            yield DoctorCheck(
                what=wanted.name,
                found=found if right else f"{found}, but {wanted.specifier} is needed",
                well=right,
            )


def _devices() -> Iterator[DoctorCheck]:
    import torch

    yield DoctorCheck(
        what="cpu", found=f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    )
    for k in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(k)
        yield DoctorCheck(
            what=f"cuda:{k}", found=f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
        )
    if not torch.cuda.device_count():
        yield DoctorCheck(what="cuda", found="no GPU: models run on the CPU", there=False)


def _caches() -> Iterator[DoctorCheck]:
    hub = Path(
        os.environ.get("HF_HUB_CACHE")
        or Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    )
    there = sorted(
        path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*")
    )
    yield DoctorCheck(what="weights cache", found=f"{hub}: {', '.join(there) or 'nothing'}")
    free = shutil.disk_usage(".").free
    yield DoctorCheck(what="disk", found=f"{free / 1e9:.1f} GB free here", well=free > 1e9)


def _content() -> Iterator[DoctorCheck]:
    checks: dict[str, Callable[[], int]] = {
        "baselines": lambda: len(baseline.cards()),
        "concepts": lambda: len([concept.load(name) for name in concept.names()]),
        "reports": lambda: len(list((content.folder("reports") / "plans").glob("*.toml"))),
    }
    for name, count in checks.items():
        try:
            found = count()
        except HtbenchError as error:
            yield DoctorCheck(what=name, found=str(error), well=False)
        else:
            yield DoctorCheck(what=name, found=f"{found} in {content.folder(name)}", well=found > 0)


def _plugin(group: str, name: str) -> DoctorCheck:
    """Whether a plug-in is there; it or its module may have a function `missing()`, which names what it lacks, else it is loaded to see."""
    what = f"{group.removesuffix('s')} {name}"
    entry = registry.plugins(group)[name]
    try:
        plugin = entry.load()
        missing = getattr(plugin, "missing", None) or getattr(
            sys.modules[entry.module], "missing", None
        )
        lacks = list(missing()) if missing else []
        if missing is None:
            plugin("cpu")
    except (
        Exception
    ) as error:  # a stranger's plug-in may fail in any way, and that is what is wanted here
        return DoctorCheck(what=what, found=f"{type(error).__name__}: {error}", well=False)
    if lacks and hasattr(plugin, "fetch"):
        return DoctorCheck(
            what=what,
            found=f"not downloaded, optional: htbench fetch --{group.removesuffix('s')} {name}",
            there=False,
        )
    return DoctorCheck(
        what=what,
        found=f"missing: {', '.join(map(str, lacks))}" if lacks else "ready",
        well=not lacks,
    )
