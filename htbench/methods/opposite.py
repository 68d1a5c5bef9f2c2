"""Other ways to steer away from a concept than a method's own at negative strength.

Each is a method with a base, another method. An affine map `T` at strength -s extrapolates, `z - s
(T(z) - z)`, and undoes `T` only if it scales nothing.

- `inverse` has at strength -1 the inverse of the base's map, `(z - b) / w`; of prompting, the
  prompt without the concept's words.
- `reversed` has at strength -1 the map that the base fits the other way round: its sources are
  images with the concept, its targets images without it.
- `negated` has, of prompting, a negation in place of the concept's words.

At a positive strength s the first two extrapolate the map that they have at -1, to the other side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.steering import baseline
from htbench.steering.algebra import invert, reflect
from htbench.steering.concept import Concept
from htbench.steering.intervention import Affine, Intervention, OnMeans, Rewrite
from htbench.steering.method import Method, Steering, load_or_train_base
from htbench.steering.model import Model
from htbench.steering.omission import Omit
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class Inverse:
    """The base's maps inverted, for negative strengths.

    A map with a support, or with a channel that is scaled to almost nothing, has no inverse; then
    there is no intervention for the concept.
    """

    base: str
    """Name of the method whose maps are inverted, or the path of its card."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Train the base on `concepts`, or load what was kept beside `folder`."""
        maps = folder and folder.parent
        base = load_or_train_base(self.base, model, concepts, seed=seed, folder=maps)
        return _InverseSteering(base=base)

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The base's steering that was saved at `path`."""
        method: Method = baseline.load_method(self.base)
        return _InverseSteering(base=method.load(model, path, seed=seed))


@dataclass(frozen=True, kw_only=True)
class Reversed:
    """The base fitted the other way round, for negative strengths.

    The base fits maps on images of each concept: what a method predicts from words has no other
    way round.
    """

    base: str
    """Name of the method that is fitted, or the path of its card."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Train the base, which does nothing for a method that fits each concept."""
        return _ReversedSteering(base=self._base().train(model, (), seed=seed))

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The steering that `train` gives."""
        return _ReversedSteering(base=self._base().load(model, path, seed=seed))

    def _base(self) -> Method:
        method: Method = baseline.load_method(self.base)
        return method


@dataclass(frozen=True, kw_only=True)
class Negated:
    """Prompting with a negation in place of the concept's words, such as `panda without lemon`."""

    base: str
    """Name of the prompting method, or the path of its card."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Train nothing: there is nothing to learn in prompting."""
        method: Method = baseline.load_method(self.base)
        return _NegatedSteering(base=method.train(model, (), seed=seed))

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The steering that `train` gives."""
        return self.train(model, (), seed=seed)


@dataclass(frozen=True, kw_only=True)
class _InverseSteering:
    base: Steering

    @property
    def training(self) -> Training:
        return self.base.training

    def towards(self, concept: Concept) -> Intervention:
        change = self.base.towards(concept)
        if isinstance(change, Rewrite):
            return Omit(template=change.more)
        return _mapped(change, lambda own: reflect(invert(own)))

    def save(self, path: Path) -> None:
        self.base.save(path)


@dataclass(frozen=True, kw_only=True)
class _NegatedSteering:
    base: Steering

    @property
    def training(self) -> Training:
        return self.base.training

    def towards(self, concept: Concept) -> Intervention:
        # a preposition of its own would read: without with lemon
        bare = replace(concept, text=concept.text.removeprefix("with "))
        asking, against = self.base.towards(concept), self.base.towards(bare)
        if not isinstance(asking, Rewrite) or not isinstance(against, Rewrite):
            raise UsageError(f"{type(asking).__name__} does not replace the prompt by another one")
        return Omit(template=asking.more, negation=against.less)

    def save(self, path: Path) -> None:
        self.base.save(path)


@dataclass(frozen=True, kw_only=True)
class _ReversedSteering:
    base: Steering

    @property
    def training(self) -> Training:
        return self.base.training

    def towards(self, concept: Concept) -> Intervention:
        return _mapped(self.base.towards(reverse(concept)), reflect)

    def save(self, path: Path) -> None:
        self.base.save(path)


@dataclass(frozen=True, kw_only=True)
class _ReversedConcept(Concept):
    """A concept to fit on with sources that ask for it and targets that do not."""

    plain: tuple[tuple[str, str], ...]
    """Pairs of a prompt that asks for the concept and the neutral one that it is made of."""

    def target(self, prompt: str) -> str:
        return dict(self.plain).get(prompt, prompt)


def reverse(concept: Concept) -> Concept:
    """The concept with sources and targets exchanged, for methods that fit on both."""
    fields = {name: getattr(concept, name) for name in Concept.__dataclass_fields__}
    pairs = tuple(zip(concept.targets, concept.sources, strict=True))
    return _ReversedConcept(**{**fields, "sources": concept.targets}, plain=pairs)


def _mapped(change: Intervention, function: Callable[[Affine], Affine]) -> Intervention:
    """An affine map, or one that acts on means, with a function of its map in its place.

    Raises:
        UsageError: for an intervention of another class.
    """
    if isinstance(change, OnMeans):
        return OnMeans(_mapped(change.change, function), sites=change.on_means)
    if type(change) is not Affine:
        raise UsageError(
            f"{type(change).__name__} is not an affine map per channel, and has no opposite",
            remedy="Use the method itself, at negative strength.",
        )
    return function(change)
