"""Checks of a bundle's records against the plan, the concept set and the cards: without a model."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from htbench.bundles.findings import Finding, differs, each_differs, holds, unchecked
from htbench.core import content, pictures
from htbench.core.errors import HtbenchError
from htbench.core.types import Digest
from htbench.run import plan as plans
from htbench.run import strength_scale, tune
from htbench.run.concept_source import OWN_SET
from htbench.run.fact_table import Facts
from htbench.run.plan import Plan
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering import baseline, concept
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.pair import pairs_among
from htbench.steering.training import method_digest, steering_key
from htbench.steering.wording import CANONICAL, WORDINGS, Wording, phrasings

_CELL = ("method", "concept", "prompt", "seed", "strength", "image")
_TOLERANCE = 1e-6
_CONCEPT = ("kind", "text", "digest")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A run of the bundle: the run itself, its run on dev concepts, or that of a fit seed or of a
    wording."""

    folder: Path
    title: str
    """Words before a finding, such as `on dev concepts: `; empty for the run itself."""
    facts: Facts
    concept_set: ConceptSet | None
    """The set that is installed or was given; None if it is not the one of the run."""

    @property
    def wording(self) -> Wording:
        """The wording in which methods were given concepts; canonical if it is none."""
        return next((each for each in WORDINGS if each == self.facts.wording), CANONICAL)

    @property
    def plan(self) -> Plan:
        """The plan that the run stores.

        Raises:
            UsageError: if it is none.
        """
        return plans.build(self.facts.plan.stored)


def find_concept_set(
    facts: Facts, given: str | None, *, run: Path
) -> tuple[ConceptSet | None, Finding]:
    """The concept set of a run, if it is here in the same version, and the finding on it.

    A set that is neither shipped nor in the bundle is read only where it is `given`: no bundle
    names files of this machine.
    """
    named, name = facts.concept_set, given or facts.plan.concept_set
    is_own = given is None and name == OWN_SET and (run / OWN_SET).is_file()
    if given is None and not is_own and name not in concept.names():
        return None, unchecked(
            f"concepts: {named.name or name!r} is not shipped; give it with --concept-set"
        )
    try:
        found = concept.load(str(run / OWN_SET) if is_own else name, model=facts.model.name)
    except HtbenchError as error:
        return None, unchecked(f"concepts: {error}")
    if is_own:
        return found, unchecked("concepts: they are in no set but that of the bundle")
    if named.version != str(found.version):
        return None, unchecked(
            f"concepts: of {named.name} {named.version}, and here is {found.version}"
        )
    return found, holds(f"concept set {named.name} {named.version} is here")


def check_concepts(part: Part) -> Iterator[Finding]:
    """Compare the texts, kinds and digests of the concepts with their set."""
    if part.concept_set is None:
        return
    splits = part.concept_set.splits.items()
    known: dict[str, tuple[str, Concept]] = {
        each.id: (split, each) for split, concepts in splits for each in concepts
    }
    if part.facts.task.members:
        names = {name: split for name, (split, _) in known.items()}
        pairs = pairs_among(plans.choose_concepts(part.plan, part.concept_set))
        known |= {pair.id: (pair.split(names), pair) for pair in pairs}
    differences = []
    for name, fact in part.facts.concepts.items():
        if name not in known:
            differences.append(f"{part.title}concept {name[:80]!r} is not in the concept set")
            continue
        split, own = known[name]
        fields = {field: (getattr(fact, field), getattr(own, field)) for field in _CONCEPT}
        fields["split"] = (fact.split, split)
        if fact.families is not None and _is_of_this_version(part.facts):
            fields["families"] = (sorted(fact.families), sorted(own.families))
        differences += [
            f"{part.title}the {field} of concept {name!r} is {str(here)[:80]!r} in the bundle, and "
            f"{str(there)[:80]!r} in the concept set"
            for field, (here, there) in fields.items()
            if here != there
        ]
        if part.wording != CANONICAL:
            ways = phrasings(own, part.wording)[: part.plan.seeds]
            if part.facts.phrasings.get(name) != [way.text for way in ways]:
                differences.append(
                    f"{part.title}concept {name!r} was said in other words than those of the set"
                )
    yield from each_differs(differences, "concepts")
    if not differences:
        yield holds(f"{part.title}{len(part.facts.concepts):,} concepts are those of the set")


def installed_card(label: str, facts: Facts) -> Card | None:
    """The installed card of a method, if it is the one that the run used."""
    if label.endswith(".toml"):
        return None
    try:
        card = baseline.load_card(label)
    except HtbenchError:
        return None
    return card if card.digest == facts.methods[label].card else None


def check_methods(part: Part) -> Iterator[Finding]:
    """Compare what the run says about its methods with their installed cards."""
    is_of_this_version = _is_of_this_version(part.facts)
    evaluated = set(part.facts.concepts)
    differences, same = [], []
    for label, fact in part.facts.methods.items():
        if not fact.card:
            yield unchecked(f"{part.title}card of {label[:80]!r}: the run has none")
            continue
        card = installed_card(label, part.facts)
        if card is None:
            try:
                baseline.load_card("" if label.endswith(".toml") else label)
            except HtbenchError:
                yield unchecked(f"{part.title}card of {label[:80]!r}: it is not installed")
                continue
            problem = f"{part.title}card of {label!r}: the installed one has other settings"
            if is_of_this_version:
                differences.append(problem)
            else:
                yield unchecked(f"{problem}, and the run is of another version of htbench")
            continue
        shown = (
            card.model_dump(mode="json", exclude={"name", "method", "artifacts"})
            if is_of_this_version
            else {"settings": card.settings, "kind": card.kind, "cost": card.cost}
        )
        differences += [
            f"{part.title}{field!r} of method {label!r} is {str(fact.stored.get(field))[:80]!r} in "
            f"the bundle, and {str(value)[:80]!r} on its card"
            for field, value in shown.items()
            if fact.stored.get(field) != value
        ]
        if part.concept_set and fact.digest != _method_digest(part, card, part.concept_set):
            differences.append(
                f"{part.title}digest of method {label!r} is not that of its card and training"
            )
        leaked = sorted((set(fact.training.concepts) & evaluated) - set(fact.leaked))
        if leaked:
            differences.append(
                f"{part.title}method {label!r} was trained on {leaked[0]!r}, and the bundle does "
                "not say so"
            )
        same.append(label)
    yield from each_differs(differences, "facts about methods")
    if same and not differences:
        yield holds(f"{part.title}{len(same)} methods are those of their cards")


def _is_of_this_version(facts: Facts) -> bool:
    """True if this version of htbench made the run, whose words for a method are then the same."""
    made = {str(each.environment.stored.get("htbench")) for each in facts.sessions}
    return made == {version("htbench")}


def _method_digest(part: Part, card: Card, concept_set: ConceptSet) -> Digest:
    seed, facts = part.plan.seed, part.facts
    file = card.artifact(facts.model.name)
    if file:
        weights = content.file_digest(file)
    else:
        train = concept_set.splits["train"]
        weights = steering_key(card, Digest(facts.model.revision), train, seed=seed)
    return method_digest(card, weights, seed=seed)


def check_cells(part: Part) -> Iterator[Finding]:
    """Compare the planned cells and the keys of their images with the plan."""
    if not part.facts.model.revision:
        yield unchecked(f"{part.title}cells: no model of htbench made the pictures")
        return
    if part.concept_set is None:
        yield unchecked(f"{part.title}cells: their concept set is not here")
        return
    differences, count = [], 0
    planned = {tuple(cell[:-1]): cell[-1] for cell in _planned_cells(part, part.concept_set)}
    with Store.read(part.folder) as store:
        for row in store.iterate(f"SELECT {', '.join(_CELL)} FROM cells ORDER BY place"):
            count += 1
            key = planned.pop(tuple(row[:-1]), None)
            if key is None:
                differences.append(f"{part.title}cell {_shown(row)} is not in the plan")
            elif key != row[-1]:
                differences.append(f"{part.title}the key of the image of {_shown(row)} is another")
    differences += [
        f"{part.title}cell {_shown(cell)} is in the plan and not in the bundle" for cell in planned
    ]
    yield from each_differs(differences, "cells")
    if not differences:
        yield holds(f"{part.title}{count:,} cells are those of the plan")


def _planned_cells(part: Part, concept_set: ConceptSet) -> Iterator[tuple[object, ...]]:
    plan, facts = part.plan, part.facts
    labels = {fact.given: label for label, fact in facts.methods.items()}
    methods = tuple(labels.get(name, name) for name in plan.methods)
    digests = {label: Digest(_digest_of(label, facts)) for label in methods}
    tuned = {name: choice.strength for name, choice in facts.tuned.items()}
    scaled = {name: scale.strengths for name, scale in facts.strength_scales.items()}
    concepts = plans.choose_concepts(plan, concept_set)
    settings = plan.model_copy(update={"methods": methods})
    every = plans.cells(
        settings,
        concepts,
        concept_set.prompts,
        tuned=tuned,
        scaled=scaled,
        wording=part.wording,
        task_prompts=plans.make_task_prompts(plan, concepts, concept_set),
    )
    for cell in every:
        key = plans.image_key(
            cell,
            model=Digest(facts.model.revision),
            method_digest=digests[cell.method],
            batch=plan.batch,
        )
        yield cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key


def _digest_of(label: str, facts: Facts) -> str:
    """Digest of a method; that of its card if its training failed."""
    if label in facts.methods:
        return facts.methods[label].digest
    return "" if label.endswith(".toml") else baseline.load_card(label).digest


def _shown(cell: Sequence[object]) -> str:
    return ", ".join(str(value)[:60] for value in cell[:5])


def check_pictures(part: Part) -> Iterator[Finding]:
    """Decode every image, and compare the note that it is black or of one colour with it."""
    differences, count = [], 0
    with Store.read(part.folder) as store:
        query = "SELECT DISTINCT file, flaw FROM images WHERE file IS NOT NULL ORDER BY file"
        for file, flaw in store.iterate(query):
            count += 1
            try:
                picture = pictures.open_picture(store.image_bytes(file), name=file)
            except HtbenchError as error:
                differences.append(f"{part.title}image {file}: {error}")
                continue
            if (kind := pictures.blank_kind(picture)) != flaw:
                differences.append(
                    f"{part.title}image {file} is {kind or 'a picture'}, and {flaw or 'a picture'} "
                    "in the bundle"
                )
    yield from each_differs(differences, "images")
    if not differences:
        yield holds(f"{part.title}{count:,} images are pictures")


def check_cell_concepts(part: Part) -> Iterator[Finding]:
    """Find cells of concepts that the run does not list: they can be neither scored nor made."""
    with Store.read(part.folder) as store:
        concepts = [name for (name,) in store.select("SELECT DISTINCT concept FROM cells")]
    unknown = sorted(set(concepts) - part.facts.concepts.keys())
    yield from each_differs(
        [
            f"{part.title}a cell has concept {name[:80]!r}, which is not of the run"
            for name in unknown
        ],
        "concepts",
    )


def check_tuned(part: Part, tuning: Part) -> Iterator[Finding]:
    """Choose the strengths again by the scores on dev concepts, and compare them with the run's."""
    with Store.read(tuning.folder) as store:
        made = tune.choose_strengths(Summary(store), floor=part.plan.tune_floor)
    stored = {method: choice.stored for method, choice in part.facts.tuned.items()}
    chosen = {method: choice.facts() for method, choice in made.items()}
    yield from _follow("tuning", stored, chosen, so="the strengths")


def check_scales(part: Part, tuning: Part) -> Iterator[Finding]:
    """Learn the scales of strengths again by the scores on dev concepts, and compare them."""
    with Store.read(tuning.folder) as store:
        made = strength_scale.learn_scales(Summary(store), part.plan)
    stored = {method: scale.stored for method, scale in part.facts.strength_scales.items()}
    learnt = {method: scale.facts() for method, scale in made.items()}
    yield from _follow("strength scale", stored, learnt, so="the strength scales")


def _follow(
    noun: str,
    stored: Mapping[str, Mapping[str, object]],
    made: Mapping[str, Mapping[str, object]],
    *,
    so: str,
) -> Iterator[Finding]:
    """Compare what is `stored` of each method with what is `made` of the run on dev concepts."""
    differences = []
    for method in sorted({*made, *stored}):
        own, again = stored.get(method, {}), made.get(method, {})
        differences += [
            f"{name} of the {noun} of {method} is {str(own.get(name))[:60]} in the bundle, and "
            f"{str(again.get(name))[:60]} by the run on dev concepts"
            for name in sorted({*again, *own})
            if not _is_near(own.get(name), again.get(name))
        ]
    yield from each_differs(differences, f"facts about {noun}")
    if not differences:
        yield holds(f"{so} of {len(made)} methods follow from the run on dev concepts")


def _is_near(one: object, two: object) -> bool:
    """True for JSON-like values that are equal but for last digits of numbers."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(_is_near(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(_is_near, one, two))
    if isinstance(one, int | float) and isinstance(two, int | float):
        return math.isclose(one, two, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return one == two


def check_failures(part: Part) -> Iterator[Finding]:
    """Tell how many cells failed, which nobody can check later."""
    with Store.read(part.folder) as store:
        query = "SELECT count(*) FROM failures JOIN images USING (key) WHERE file IS NULL"
        ((number,),) = store.select(query)
    if number:
        yield unchecked(f"{part.title}{number:,} images that could not be made")


def checks(part: Part) -> Iterator[Finding]:
    """All findings on the records of a part."""
    for check in (check_concepts, check_methods, check_cells, check_failures):
        try:
            yield from check(part)
        except HtbenchError as error:
            yield differs(f"{part.title}the plan is none of this htbench: {error}")
