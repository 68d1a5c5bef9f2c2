"""`htbench doctor`: devices, versions, caches, and the needs of each model that are not met."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from htbench.cli.options import Json
from htbench.core import registry
from htbench.core.errors import HtbenchError, not_installed


@dataclass(frozen=True, kw_only=True)
class DoctorCheck:
    """The state of one part of the installation; the fields are the keys of `--json`."""

    what: str
    found: str
    well: bool = True
    there: bool = True
    """False for an optional part that is not installed, which is no fault."""


def doctor(as_json: Json = False) -> None:
    """Check devices, versions, caches and what each model needs. Exit code 4 if anything is
    missing.
    """
    from htbench.core.display import print_json, printable

    failures = 0
    for check in _checks():
        failures += not check.well
        if as_json:
            print_json(**asdict(check))
        else:
            mark = "✗" if not check.well else "✓" if check.there else "–"
            typer.echo(f"{mark} {check.what:<28} {printable(check.found, max_length=500)}")
    raise typer.Exit(4 if failures else 0)


def _checks() -> Iterator[DoctorCheck]:
    """All checks; one that fails says what is missing."""
    yield DoctorCheck(what="python", found=sys.version.split()[0], well=sys.version_info >= (3, 11))
    yield from _packages()
    yield from _devices()
    yield from _caches()
    yield from _content()
    groups: tuple[registry.Group, ...] = ("models", "encoders")
    for group in groups:
        for name in sorted(registry.plugins(group)):
            yield _plugin(group, name)


def _packages() -> Iterator[DoctorCheck]:
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    for line in requires("htbench") or []:
        package = Requirement(line)
        if package.name == "htbench":  # an extra of its own, whose packages are checked too
            continue
        extra = package.marker is not None and not package.marker.evaluate({"extra": ""})
        try:
            installed = version(package.name)
        except PackageNotFoundError:
            text = "not installed" + (", optional" if extra else "")
            yield DoctorCheck(what=package.name, found=text, well=extra, there=False)
        else:
            fits = package.specifier.contains(installed, prereleases=True)
            text = installed if fits else f"{installed}, but {package.specifier} is needed"
            yield DoctorCheck(what=package.name, found=text, well=fits)


def _devices() -> Iterator[DoctorCheck]:
    cores = f"{os.cpu_count()} cores"
    try:
        import torch
    except ModuleNotFoundError:
        yield DoctorCheck(what="cpu", found=cores)
        return
    yield DoctorCheck(what="cpu", found=f"{cores}, {torch.get_num_threads()} threads")
    for k in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(k)
        memory = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
        yield DoctorCheck(what=f"cuda:{k}", found=memory)
    if not torch.cuda.device_count():
        yield DoctorCheck(what="cuda", found="no GPU: models run on the CPU", there=False)


def _caches() -> Iterator[DoctorCheck]:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    repositories = sorted(
        path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*")
    )
    yield DoctorCheck(what="weights cache", found=f"{hub}: {', '.join(repositories) or 'nothing'}")
    free = shutil.disk_usage(".").free
    yield DoctorCheck(what="disk", found=f"{free / 1e9:.1f} GB free here", well=free > 1e9)


def _content() -> Iterator[DoctorCheck]:
    from htbench.core import content
    from htbench.steering import baseline, concept

    counts: dict[str, Callable[[], int]] = {
        "baselines": lambda: len(baseline.cards()),
        "concepts": lambda: len([concept.load(name) for name in concept.names()]),
        "reports": lambda: len(list((content.folder("reports") / "plans").glob("*.toml"))),
    }
    for name, count in counts.items():
        try:
            number = count()
        except HtbenchError as error:
            yield DoctorCheck(what=name, found=str(error), well=False)
        else:
            text = f"{number} in {content.folder(name)}"
            yield DoctorCheck(what=name, found=text, well=number > 0)


def _plugin(group: registry.Group, name: str) -> DoctorCheck:
    """The check of a plug-in by what it says is missing; if it cannot tell, it is loaded to see."""
    kind = group.removesuffix("s")
    entry = registry.plugins(group)[name]
    try:
        plugin = entry.load()
        missing = registry.missing(group, name)
        lacks = ", ".join(missing or ())
        if missing is None:
            plugin("cpu")
    except Exception as error:  # a stranger's plug-in may fail in any way: that is the answer
        if isinstance(error, ImportError) and (extra := not_installed(error)):
            return DoctorCheck(what=f"{kind} {name}", found=f"optional: {extra}", there=False)
        text = f"{type(error).__name__}: {error}"
        return DoctorCheck(what=f"{kind} {name}", found=text, well=False)
    if lacks and hasattr(plugin, "fetch"):
        text = f"not downloaded, optional: htbench fetch --{kind} {name}"
        return DoctorCheck(what=f"{kind} {name}", found=text, there=False)
    text = f"missing: {lacks}" if lacks else "ready"
    return DoctorCheck(what=f"{kind} {name}", found=text, well=not lacks)
