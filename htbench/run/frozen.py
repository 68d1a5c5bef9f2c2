"""The frozen part of a newcomer's run: methods whose cells are taken from a bundle.

Nothing of them is made again: their rows, pictures, scores and facts stay as the bundle has them,
and the run makes the cells of its own methods beside them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from htbench.core import content
from htbench.core.errors import Refused, UsageError
from htbench.core.types import Digest
from htbench.run import fit_seeds
from htbench.run.fact_table import AgainstFacts, Facts
from htbench.run.plan import ResolvedPlan
from htbench.run.store import Store

Row = tuple[str, str, str, int, float, Digest]
"""Method, concept, prompt, seed, strength and the key of the image."""
_BUNDLE_REMEDY = "Install what the bundle was made with, or compare runs of one version."


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """The methods of a bundle in a run against it; none in a run that makes all its cells."""

    facts: Facts = field(default_factory=Facts)
    """The facts of the run."""

    @classmethod
    def read(cls, store: Store) -> "Frozen":
        """The frozen part of the run in `store`."""
        return cls(facts=Facts.read(store))

    @property
    def against(self) -> AgainstFacts:
        """The bundle."""
        return self.facts.against

    @property
    def methods(self) -> Sequence[str]:
        """The methods whose cells are taken from the bundle."""
        return self.against.methods

    @property
    def encoders(self) -> set[str]:
        """Encoders that these methods read concepts with."""
        cards = self.facts.methods
        return {
            encoder
            for name in self.methods
            if name in cards
            for encoder in cards[name].training.encoders
        }

    def reasons(self, scorer: str) -> Counter[str]:
        """Numbers of the bundle's pictures without a score by a scorer, by reason."""
        return Counter(self.against.reasons.get(scorer, {}))

    def rows(self, store: Store) -> Iterator[Row]:
        """The bundle's cells, in their order."""
        marks = ", ".join("?" * len(self.methods))
        query = f"""SELECT method, concept, prompt, seed, strength, image FROM cells
                    WHERE method IN ({marks}) ORDER BY place"""
        yield from store.select(query, *self.methods)

    def grid(self, own: Digest) -> Digest:
        """Digest of all cells of the run, from that of the cells that it makes."""
        return content.digest([self.against.grid, own]) if self.methods else own

    def plan(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the plan of all methods, from those of the methods that the run makes."""
        names = dict.fromkeys([*self.against.given, *own["methods"]])
        return {**own, "methods": list(names)}

    def with_facts(self, own: dict[str, Any]) -> dict[str, Any]:
        """The facts of the run, from those of the methods that it makes."""
        if not self.methods:
            return own
        methods = {
            name: each.stored for name, each in self.facts.methods.items() if name in self.methods
        }
        seeds = {name: each for name, each in self.facts.fit_seeds.items() if name in self.methods}
        return {
            **own,
            "plan": self.plan(own["plan"]),
            "model": self.facts.model.stored,
            "methods": {**methods, **own["methods"]},
            "fit_seeds": {
                **seeds,
                **{name: each for name, each in own["fit_seeds"].items() if name in own["methods"]},
            },
        }

    def with_tuned(self, own: Mapping[str, object]) -> dict[str, object]:
        """The chosen strengths of all methods, from those of the methods that the run makes."""
        choices = self.facts.tuned.items()
        return {**{name: each.stored for name, each in choices if name in self.methods}, **own}

    def with_scales(self, own: Mapping[str, object]) -> dict[str, object]:
        """The perceptual scales of all methods, from those of the methods that the run makes."""
        scales = self.facts.strength_scales.items()
        return {**{name: each.stored for name, each in scales if name in self.methods}, **own}


def check_bundle(store: Store, sha256: str) -> None:
    """Refuse to go on with a run that was made against another bundle, or against none.

    Raises:
        UsageError: if the cells in `store` are of another bundle than that of the digest `sha256`.
    """
    own = Facts.read(store).against
    if own.sha256 == sha256:
        return
    name = store.folder.name
    if not sha256:
        raise UsageError(
            f"run {name!r} has the cells of bundle {own.bundle!r}",
            remedy=f"Give it: --against {own.bundle}, or choose another --name.",
        )
    made = f"was made against bundle {own.bundle!r} with SHA-256 {own.sha256[:16]}"
    raise UsageError(
        f"run {name!r} {made if own.sha256 else 'was made against no bundle'}, "
        f"and this bundle has {sha256[:16]}",
        remedy="Choose another --name.",
    )


def check_concepts(facts: Facts, plan: ResolvedPlan) -> None:
    """Refuse a concept set that is not the one of the bundle with these `facts`.

    Raises:
        Refused: naming the version or the first concept that differs.
    """
    named, here = facts.concept_set, plan.concept_set
    if (named.name, named.version) != (here.name, str(here.version)):
        raise Refused(
            f"the bundle has concept set {named.name} {named.version}, and here is "
            f"{here.name} {here.version}",
            remedy=_BUNDLE_REMEDY,
        )
    digests = {concept.id: concept.digest for concept in plan.concepts}
    changed = [
        name
        for name in {**facts.concepts, **digests}
        if name not in facts.concepts or facts.concepts[name].digest != digests.get(name)
    ]
    if changed:
        raise Refused(
            f"{len(changed)} concepts are not those of the bundle, such as {changed[0]!r}",
            remedy=_BUNDLE_REMEDY,
        )


def check_parts(
    store: Store, *, model: str, revision: str, encoders: Sequence[str], scorers: Mapping[str, str]
) -> None:
    """Refuse a model or scorers that are not those of the bundle that a run was made against.

    Args:
        store: the run.
        model: the name of the model that is here.
        revision: its revision.
        encoders: ids of the encoders that score here.
        scorers: digests of the cards of the other scorers, by id.

    Raises:
        Refused: naming what differs.
    """
    facts = Facts.read(store)
    if not facts.against.methods:
        return
    if (facts.model.name, facts.model.revision) != (model, revision):
        raise Refused(
            f"the bundle's model is {facts.model.name} {facts.model.revision}, and here is "
            f"{model} {revision}",
            remedy="Give its weights with --weights, or install what the bundle was made with.",
        )
    there = facts.against
    _check_same("encoders", there.encoders, encoders)
    _check_same("scorers", list(there.scorers), list(scorers))
    for id_, digest in scorers.items():
        if there.scorers[id_] not in ("", digest):
            raise Refused(
                f"scorer {id_} has another card or other files here than in the bundle",
                remedy=_BUNDLE_REMEDY,
            )


def _check_same(noun: str, there: Sequence[str], here: Sequence[str]) -> None:
    if set(there) != set(here):
        raise Refused(
            f"the bundle's {noun} are {', '.join(sorted(there)) or 'none'}, and here are "
            f"{', '.join(sorted(here)) or 'none'}",
            remedy=_BUNDLE_REMEDY,
        )


def repeat_grid(store: Store) -> None:
    """Make the bundle's further fit seeds those of the run in `store`, whose grid is wider."""
    facts = Facts.read(store)
    if not facts.against.methods or facts.repeats:
        return
    for seed in {seed for name in facts.against.methods for seed in facts.fit_seeds.get(name, ())}:
        place = fit_seeds.folder(store.folder, seed)
        if (place / Store.schema.file).is_file():
            with Store.open(place) as further:
                further.set_facts(repeats=facts.grid)
