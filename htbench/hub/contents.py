"""Files that a hub may hold: bundles, trained steerings and interventions, each as its record says.

A file is read as data: its digests are made again, and nothing that it names is imported.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from htbench.bundles import signature
from htbench.bundles.archive import MANIFEST, Archive, is_bundle
from htbench.core import reading, registry
from htbench.core.errors import HtbenchError, Refused, UsageError
from htbench.hub import method_card
from htbench.hub.repository import Kind
from htbench.run.fact_table import Facts, SessionFacts

BUNDLE, TRAINED = ".zip", ".safetensors"
"""Endings of names in repositories."""
_TABLE = "run/tables/{}.jsonl"
_EMBEDDED = "emoji"
"""The model that is part of htbench, which imports torch and is in no repository."""
_SHOWN = 12
"""The most items of a list that are named."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A file that is whole, and what its own record says of it."""

    path: Path
    kind: Literal["bundle", "steering", "intervention"]
    digest: str
    """Digest by which the file was checked: SHA-256 of a bundle's manifest, or that of a record."""
    model: str
    """Name of the model in htbench; empty where it is not recorded."""
    base: str
    """Repository of the model's denoiser; empty where it has none, or it is not known."""
    rows: tuple[tuple[str, str], ...]
    """Facts of the record, by heading."""
    companion: Path | None = None
    """The file that belongs to it: a bundle's signature, or the card of a trained method."""

    @property
    def repository_kind(self) -> Kind:
        """The kind of repository that holds such files."""
        return "dataset" if self.kind == "bundle" else "model"

    @property
    def name(self) -> str:
        """The file's name in a repository."""
        ending = BUNDLE if self.kind == "bundle" else TRAINED
        return self.path.name if self.path.suffix == ending else f"{self.path.name}{ending}"

    @property
    def companion_name(self) -> str:
        """The name of the companion in a repository."""
        return f"{self.name}.sig" if self.kind == "bundle" else f"{self.name[: -len(TRAINED)]}.toml"


def read(path: Path) -> Content:
    """The bundle or trained file at `path`, whose digests are checked.

    Raises:
        UsageError: if it is neither.
        Refused: if it is not as it was written.
    """
    reading.find_file(path, noun="bundle or trained file")
    if is_bundle(path):
        return _read_bundle(path)
    metadata = _metadata(path)
    if {"kind", "digest", "settings"} <= metadata.keys():
        return _read_intervention(path)
    for text in metadata.values():
        try:
            record = reading.parse_json(text)
        except reading.Malformed:
            continue
        if isinstance(record, dict) and {"model", "training"} <= record.keys():
            return _read_steering(path, record)
    raise UsageError(
        f"{str(path)[:300]!r} is neither a bundle nor what htbench train or a run has learnt",
        remedy="Give a file that htbench pack or htbench train wrote, or one of RUN/maps.",
    )


def with_companion(content: Content) -> Content:
    """The content with the file beside it that belongs to it, if there is one.

    Raises:
        UsageError: if it is a card that cannot go along.
    """
    if content.kind == "bundle":
        path = signature.path_of(content.path)
    elif content.kind == "steering":
        path = content.path.with_suffix(".toml")
    else:
        return content
    if not os.path.lexists(path):
        return content
    if content.kind == "steering":
        method_card.check(path, content.path.name)
    return replace(content, companion=reading.find_file(path, noun="companion"))


def _read_bundle(path: Path) -> Content:
    with Archive.open(path) as archive:
        if changed := archive.changed():
            raise archive.refuse(f"{changed[0]} is not what was packed: it has another digest")
        for name in (_TABLE.format("facts"), _TABLE.format("sessions"), _TABLE.format("cells")):
            if name not in archive.names:
                raise archive.refuse(f"it has no {name}")
        stored = {
            str(row.get("name")): _parsed(row.get("value")) for row in _table(archive, "facts")
        }
        sessions = [SessionFacts.model_validate(row) for row in _table(archive, "sessions")]
        facts = Facts.model_validate(stored)
        own = next((session for session in sessions if not session.run), SessionFacts())
        cells = sum(1 for _ in _table(archive, "cells"))
        manifest = archive.manifest
        images = sum(name.startswith("images/") for name in archive.names)
        digest = hashlib.sha256(archive.file.read(MANIFEST)).hexdigest()
    concept_set, scorers = facts.concept_set, [each.id for each in facts.scorers]
    scorers += [each.id for each in facts.gauges]
    return Content(
        path=path,
        kind="bundle",
        digest=digest,
        model=facts.model.name,
        base=_repository(str(facts.model.stored.get("denoiser") or "")),
        rows=_named(
            {
                "Model": _identity(facts.model.name, facts.model.revision),
                "Licence of the model": str(facts.model.stored.get("licence") or ""),
                "Methods": _listed(list(facts.methods)),
                "Concepts": _listed(list(facts.concepts)),
                "Concept set": " ".join([concept_set.name, concept_set.version]).strip(),
                "Licence of the concept set": concept_set.licence,
                "Strengths": _listed([f"{each:g}" for each in facts.plan.strengths or []]),
                "Scorers": _listed(scorers),
                "Cells": f"{cells:,}",
                "Pictures": f"{images:,}" if manifest.pictures else "not in the bundle",
                "Command": own.command,
                "Begun": own.started,
                "Packed by": f"htbench {manifest.htbench}",
                "SHA-256 of the manifest": digest,
            }
        ),
    )


def _read_steering(path: Path, record: Mapping[str, Any]) -> Content:
    from htbench.steering import record_digest

    refusal = f"{str(path)[:300]!r} is refused: "
    why = record_digest.why_unverified(record)
    if why and record.get("tensors") and record.get("digest"):
        raise Refused(f"{refusal}{why}", remedy="Restore the file, or train anew.")
    if record.get("tensors"):
        with path.open("rb") as file:
            if record_digest.digest_of_tensors(file) != record["tensors"]:
                raise Refused(
                    f"{refusal}its tensors do not have their digest",
                    remedy="Restore the file, or train anew.",
                )
    training = record["training"] if isinstance(record["training"], dict) else {}
    name, revision = _pair(record["model"])
    settings = record.get("settings")
    seconds = training.get("seconds")
    return Content(
        path=path,
        kind="steering",
        digest=str(record.get("digest") or ""),
        model=name,
        base=_base(name),
        rows=_named(
            {
                "Model": _identity(name, revision),
                "Training concepts": _listed(_texts(training.get("concepts"))),
                "Encoders of concepts": _listed(_texts(training.get("encoders"))),
                "Training time": f"{seconds:,.1f} s"
                if isinstance(seconds, int | float) and seconds > 0
                else "",
                "Device": str(training.get("device") or ""),
                "Settings": json.dumps(settings, sort_keys=True)
                if isinstance(settings, dict)
                else "",
                "Digest of the training concepts": str(training.get("concepts_digest") or ""),
                "Digest of the tensors": str(record.get("tensors") or ""),
                "Digest of the record": str(record.get("digest") or ""),
                "Unverified": why,
            }
        ),
    )


def _read_intervention(path: Path) -> Content:
    from htbench.steering import intervention

    metadata = intervention.read_metadata(path)
    origin = _parsed(metadata.get("origin"))
    origin = origin if isinstance(origin, dict) else {}
    sites = _parsed(metadata.get("sites"))
    seconds = origin.get("seconds")
    return Content(
        path=path,
        kind="intervention",
        digest=metadata["digest"],
        model=str(origin.get("model") or ""),
        base=_base(str(origin.get("model") or "")),
        rows=_named(
            {
                "Model": _identity(origin.get("model"), origin.get("revision")),
                "Method": str(origin.get("method") or ""),
                "Concept": str(origin.get("concept") or ""),
                "Seed of the fit": str(origin["seed"]) if "seed" in origin else "",
                "Time of the fit": f"{seconds:,.3f} s"
                if isinstance(seconds, int | float) and seconds > 0
                else "",
                "Class": metadata["kind"],
                "Sites": f"{len(sites):,}" if isinstance(sites, list) else "",
                "Digest": metadata["digest"],
            }
        ),
    )


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; none of any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def _table(archive: Archive, name: str) -> list[dict[str, Any]]:
    """The rows of a table of the run in a bundle."""
    try:
        columns, *rows = map(reading.parse_json, archive.lines(_TABLE.format(name)))
        return [dict(zip(columns, row, strict=True)) for row in rows]
    except (ValueError, TypeError) as error:
        raise archive.refuse(f"table {name}: {error}") from None


def _parsed(text: object) -> Any:
    try:
        return reading.parse_json(text) if isinstance(text, str) else None
    except reading.Malformed:
        return None


def _base(model: str) -> str:
    """The repository of the denoiser of an installed model."""
    if model in ("", _EMBEDDED):
        return ""
    try:
        plugin = registry.load("models", model)
    except HtbenchError:
        return ""
    return _repository(plugin.facts()["denoiser"]) if hasattr(plugin, "denoiser") else ""


def _repository(file: str) -> str:
    """The repository in `OWNER/NAME/FILE, revision …`, as a model's facts name its denoiser."""
    match = re.match(r"([\w.-]+/[\w.-]+)/", file)
    return match[1] if match else ""


def _identity(name: object, revision: object) -> str:
    return f"{name or 'not recorded'}" + (f", revision {revision}" if revision else "")


def _pair(value: object) -> tuple[str, str]:
    parts = _texts(value)
    return (parts[0], parts[1]) if len(parts) == 2 else ("", "")


def _texts(value: object) -> list[str]:
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def _listed(items: list[str]) -> str:
    """Items with their number, where they are many the first of them alone."""
    shown = ", ".join(items[:_SHOWN])
    if len(items) <= _SHOWN:
        return shown
    return f"{len(items):,}: {shown}, …"


def _named(rows: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((heading, text) for heading, text in rows.items() if text)
