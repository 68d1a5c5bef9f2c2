"""A newcomer against a frozen bundle: a run that makes the cells of its own methods alone.

The bundle is unpacked into the folder of the run, and its rows are marked by its digest. Model,
concepts, unsteered pictures, prompts, strengths, seeds and scorers are the bundle's, so that the
run reads like one of all methods together.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from htbench.bundles import tables
from htbench.bundles.archive import Archive, is_bundle
from htbench.bundles.pack import parts
from htbench.bundles.unpack import placing
from htbench.core import content, reading
from htbench.core.errors import HtbenchError, Missing, Refused, UsageError
from htbench.core.types import UNSTEERED
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.run import frozen
from htbench.run import plan as plans
from htbench.run.fact_table import Facts
from htbench.run.frozen import Frozen
from htbench.run.plan import Plan, ResolvedPlan, RunOptions
from htbench.run.store import Store, image_file, read_image
from htbench.scorers import scorer as scorers
from htbench.scorers.metric_table import METRIC_TABLE
from htbench.steering import concept

_FACTS = "run/tables/facts.jsonl"
_LOCAL = ("methods", "scorers", "weights", "model_options", "concept_set")
"""Settings that may be given, since a bundle cannot say where their files are on this machine."""
_KNOWN_WEIGHTS = ("", "hub", "random", "tiny")
Layers = Sequence[Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class NewcomerRun:
    """A run against a bundle, checked as far as no model is needed."""

    bundle: Path
    sha256: str
    """Digest of the bundle's file."""
    plan: ResolvedPlan
    """The plan of the newcomers alone, and of `none`."""
    folder: Path


def prepare(bundle: Path, layers: Layers, options: RunOptions) -> NewcomerRun:
    """The run of the methods in `layers` of settings against a bundle; writes nothing.

    Raises:
        UsageError: if `bundle` is no bundle, a method is one of the bundle, or a setting is not
            the bundle's.
        Missing: if the bundle has no pictures, or names files of another machine.
        Refused: if the bundle is damaged, of imported pictures, of several wordings, or of another
            concept set.
    """
    if bundle.is_dir():
        raise UsageError(
            f"{str(bundle)[:300]!r} is a folder and no bundle",
            remedy=f"Pack the run first: htbench pack {bundle.name}",
        )
    with Archive.open(bundle) as archive:
        facts = _read_facts(archive)
        if facts.is_imported or not facts.model.revision:
            raise Refused(
                f"bundle {bundle.name!r} has pictures of another program, and no model here makes "
                "a newcomer's",
                remedy="Import the newcomer's pictures too: htbench import",
            )
        if facts.plan.task != "add":
            raise Refused(
                f"bundle {bundle.name!r} is of task {facts.plan.task!r}, and a newcomer is run "
                "against methods that add concepts",
                remedy=f"Run all methods together: htbench run --task {facts.plan.task}",
            )
        if len(facts.plan.wording) > 1:
            raise Refused(
                f"bundle {bundle.name!r} gives concepts in several wordings "
                f"({', '.join(facts.plan.wording)}), and a newcomer is run in one alone",
                remedy="Run all methods together: htbench run --wording canonical,unknown",
            )
        if not archive.manifest.pictures:
            raise Missing(
                f"bundle {bundle.name!r} has no pictures, and a newcomer is paired with its "
                "unsteered ones",
                remedy="Get it with pictures: htbench pack RUN, without --no-pictures.",
            )
    settings = _settings(bundle.name, facts, layers)
    resolved = plans.resolve(settings)
    _check_newcomers(bundle.name, facts, resolved)
    frozen.check_concepts(facts, resolved)
    labels = [label for label in resolved.cards if label != UNSTEERED]
    name = options.name or f"{_stem(bundle)[:30]}-with-{_file_name('-'.join(labels))}"[:60]
    return NewcomerRun(
        bundle=bundle,
        sha256=file_sha256(bundle),
        plan=resolved,
        folder=Path(options.runs) / name,
    )


@contextmanager
def seeding(run: NewcomerRun) -> Iterator[None]:
    """Have the rows and pictures of the bundle in the folder of the run.

    A folder that has them already is left as it is, but for pictures that are gone or damaged. A
    new one is deleted again if the run is refused before it made anything.

    Raises:
        Refused: if the bundle is damaged, or the run in it was not finished.
        UsageError: if the folder is another run's, or cannot be written.
    """
    is_new = not (run.folder / Store.schema.file).is_file()
    with Archive.open(run.bundle) as archive:
        if is_new:
            _seed(archive, run)
        else:
            with Store.read(run.folder) as store:
                frozen.check_bundle(store, run.sha256)
            _restore_pictures(archive, run.folder)
    try:
        yield
    except HtbenchError:
        if is_new and not _has_own_sessions(run.folder):
            shutil.rmtree(run.folder)
        raise


def check_digest(bundle: Path, run: Path) -> None:
    """Refuse a run that was not made against `bundle`.

    Raises:
        UsageError: if it was made against another one, or against none.
    """
    with Archive.open(bundle) as archive, Store.read(run) as store:
        archive.manifest  # noqa: B018 - refuses one that does not list what is there
        own, sha256 = Facts.read(store).against, file_sha256(bundle)
    if own.sha256 != sha256:
        made = (
            f"bundle {own.bundle!r} with SHA-256 {own.sha256[:16]}" if own.sha256 else "no bundle"
        )
        raise UsageError(
            f"run {run.name!r} was made against {made}, and not against {bundle.name!r} with "
            f"{sha256[:16]}",
            remedy=f"Make one: htbench run --against {bundle} --method ./mine.toml",
        )


def is_bundle_name(name: str) -> bool:
    """True for the path of a bundle, or what can only be meant for one."""
    return name.endswith(".zip") or (len(name) < 1000 and is_bundle(Path(name)))


def file_sha256(path: Path) -> str:
    """SHA-256 digest of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_facts(archive: Archive) -> Facts:
    if _FACTS not in archive.names:
        raise archive.refuse(f"it has no {_FACTS}")
    try:
        rows = list(tables.read("facts", archive.lines(_FACTS)))
        facts = {str(row["name"]): reading.parse_json(str(row["value"])) for row in rows}
    except (Refused, KeyError, reading.Malformed) as error:
        if str(archive.path) in str(error):
            raise
        raise archive.refuse(f"its facts cannot be read: {error}") from None
    return Facts.model_validate(facts)


def _settings(bundle: str, facts: Facts, layers: Layers) -> Plan:
    """The plan of the newcomers, with all other settings those of the bundle.

    Raises:
        UsageError: if no method is given, or a setting that differs from the bundle's.
        Missing: if the bundle names a file that is not given.
    """
    own = plans.build(facts.plan.stored)
    given: dict[str, object] = {}
    for layer in layers:
        given.update(
            (name, value)
            for name, value in layer.items()
            if value is not None and name in Plan.model_fields
        )
    if "methods" not in given:
        raise UsageError("no newcomer is named", remedy="Name it: --method ./mine.toml")
    asked = plans.build(own.model_dump(), given)
    for name in given:
        if name not in _LOCAL and getattr(asked, name) != getattr(own, name):
            raise UsageError(
                f"setting {name!r} is that of the bundle, {_shown(getattr(own, name))}, and not "
                f"{_shown(getattr(asked, name))}",
                remedy="Leave it out: a newcomer is run as the bundle was.",
            )
    weights = asked.weights if "weights" in given else own.weights
    if "weights" not in given and weights not in _KNOWN_WEIGHTS:
        raise Missing(
            f"the weights of bundle {bundle!r} are {weights[:80]!r}, which may be anything here",
            remedy="Give your copy with --weights.",
        )
    concept_set = asked.concept_set
    if "concept_set" not in given and concept_set not in concept.names():
        raise Missing(
            f"the concept set of bundle {bundle!r} is {concept_set[:80]!r}, which is not shipped",
            remedy="Give your copy with --concept-set.",
        )
    names = given["methods"]
    return asked.model_copy(
        update={
            "methods": plans.build({"methods": names}).methods,
            "weights": weights,
            "scorers": _scorer_names(bundle, own.scorers, given.get("scorers")),
        }
    )


def _scorer_names(bundle: str, own: Sequence[str], given: object) -> tuple[str, ...]:
    """The bundle's scorers, with the paths that are given in place of those of its cards."""
    paths = [str(name) for name in given] if isinstance(given, list | tuple) else []
    cards = {scorers.read(Path(path)).name: path for path in paths if path.endswith(".toml")}
    by_file = {Path(path).name: path for path in paths if path.endswith(".toml")}
    names = []
    for name in own:
        if name.endswith(".toml"):
            card = by_file.get(Path(name).name) or (
                next(iter(cards.values())) if len(cards) == 1 else None
            )
            if card is None:
                raise Missing(
                    f"bundle {bundle!r} is scored by the card {name[:200]!r}, which is not in it",
                    remedy=f"Give your copy: --scorer ./{Path(name).name}",
                )
            names.append(card)
        else:
            names.append(name)
    if unknown := [path for path in paths if path not in names]:
        raise UsageError(
            f"{unknown[0][:200]!r} is no scorer of bundle {bundle!r}",
            remedy=f"Its scorers are {', '.join(own) or 'those of its model'}; more are added "
            "afterwards: htbench score",
        )
    return tuple(names)


def _check_newcomers(bundle: str, facts: Facts, resolved: ResolvedPlan) -> None:
    """Refuse methods that the bundle has, by the name on the card or in its plan."""
    taken = {*facts.methods, *facts.plan.methods}
    own = [label for label in resolved.cards if label != UNSTEERED]
    if not own:
        raise UsageError(
            f"{UNSTEERED!r} is a method of every bundle, and no newcomer is named",
            remedy="Name it: --method ./mine.toml",
        )
    for label in own:
        if label in taken:
            raise UsageError(
                f"{label!r} is a method of bundle {bundle!r} already",
                remedy="Give the newcomer's card another name.",
            )


def _seed(archive: Archive, run: NewcomerRun) -> None:
    """Unpack the bundle into the folder of the run, as the rows of the bundle."""
    with placing(archive, run.folder) as place:
        if not (place / "tuning").is_dir() and run.plan.settings.needs_dev_run:
            raise archive.refuse("the run on dev concepts, by which strengths were chosen, is lost")
        for part in parts(place):
            _mark(archive, place / part, run)
        if (place / LEDGER_FILE).is_file():
            with Ledger.open(place) as ledger:
                ledger.freeze()


def _mark(archive: Archive, part: Path, run: NewcomerRun) -> None:
    """Make all rows of a part those of the bundle.

    Raises:
        Refused: if a cell was not tried or scored, or an unsteered picture failed.
    """
    with Store.open(part) as store:
        facts = Facts.read(store)
        _check_finished(archive, store, facts)
        query = "SELECT method FROM cells GROUP BY method ORDER BY min(place)"
        methods = [method for (method,) in store.select(query)]
        with store.writing() as (write, _):
            write.execute("UPDATE sessions SET run = ? WHERE run = ''", (_stem(run.bundle),))
        store.set_facts(
            against={
                "bundle": run.bundle.name,
                "sha256": run.sha256,
                "methods": methods,
                "given": facts.plan.methods,
                "grid": facts.grid,
                "encoders": [each.id for each in facts.scorers],
                "scorers": {each.id: each.digest for each in facts.gauges},
                "reasons": {each.id: each.reasons for each in facts.gauges if each.reasons},
            }
        )


def _check_finished(archive: Archive, store: Store, facts: Facts) -> None:
    lost = "SELECT count(*) FROM cells JOIN images ON key = image WHERE file IS NULL"
    conditions = {
        "have no image yet": "key NOT IN (SELECT key FROM failures)",
        "are unsteered and failed": "strength = 0",
    }
    numbers = {
        reason: store.select(f"{lost} AND {condition}")[0][0]
        for reason, condition in conditions.items()
    }
    numbers["have no scores yet"] = max(
        (len(store.unscored(each.id, len(METRIC_TABLE))) for each in facts.scorers), default=0
    )
    for reason, number in numbers.items():
        if number:
            raise Refused(
                f"bundle {archive.path.name!r} is refused: {number:,} cells of its run {reason}",
                remedy="Finish that run, and pack it again.",
            )


def _restore_pictures(archive: Archive, folder: Path) -> None:
    """Write those pictures of the bundle that are gone, and unsteered ones that are damaged."""
    packed = set(archive.names)
    for part in parts(folder):
        with Store.read(folder / part) as store:
            taken = Frozen.read(store).methods
            marks = ", ".join("?" * len(taken))
            query = f"""SELECT file, min(strength) = 0 FROM cells JOIN images ON key = image
                        WHERE file IS NOT NULL AND method IN ({marks}) GROUP BY file"""
            for file, is_unsteered in store.select(query, *taken):
                path, name = store.image_path(file), f"images/{file}"
                if name in packed and not _is_there(path, file, read=bool(is_unsteered)):
                    content.write_whole(path, b"".join(archive.pieces(name)))


def _is_there(path: Path, file: str, *, read: bool) -> bool:
    if not read:
        return path.is_file()
    with suppress(HtbenchError):
        return image_file(read_image(path)) == file
    return False


def _has_own_sessions(folder: Path) -> bool:
    """True if the run made anything besides what it took from the bundle."""
    for part in parts(folder):
        with Store.read(folder / part) as store:
            if any(not session.run for session in store.sessions()):
                return True
    return False


def _stem(bundle: Path) -> str:
    return bundle.name.removesuffix(".zip").removesuffix(".bundle") or "bundle"


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return repr(value)[:80]
