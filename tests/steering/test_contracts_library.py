"""Results of the promises for methods that break them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from kit.toy import Toy

from htbench.core.types import Site
from htbench.steering import contracts
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.contracts import Case
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import FitsEachConcept, FitsSideBySide
from htbench.steering.model import Model, select_sites


class _Change(Affine):
    """Shifts every channel by one; importable, so that it can be saved and loaded."""


@dataclass(frozen=True, kw_only=True)
class Good(FitsEachConcept):
    """Keeps every promise."""

    sites: tuple[str, ...] = ("*",)

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        widths = {site: model.sites[site].channels for site in select_sites(model, self.sites)}
        return self.shift({site: torch.ones(width) for site, width in widths.items()})

    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _Change(ones, ones)


class _Unsigned(_Change):
    def apply(self, site: Site, z: torch.Tensor, *, strength: float) -> torch.Tensor:
        return super().apply(site, z, strength=abs(strength))


class _Constant(_Change):
    def apply(self, site: Site, z: torch.Tensor, *, strength: float) -> torch.Tensor:
        return z + self.shift[site] * (1 + strength)


class _InPlace(_Change):
    def apply(self, site: Site, z: torch.Tensor, *, strength: float) -> torch.Tensor:
        return z.add_(strength)


class _Lost(_Change):
    @classmethod
    def restore(cls, tensors: dict[str, torch.Tensor], settings: dict[str, str]) -> "_Lost":
        return cls({}, {})


@dataclass(frozen=True, kw_only=True)
class Unsigned(Good):
    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _Unsigned(ones, ones)


@dataclass(frozen=True, kw_only=True)
class Constant(Good):
    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _Constant(ones, ones)


@dataclass(frozen=True, kw_only=True)
class InPlace(Good):
    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _InPlace(ones, ones)


@dataclass(frozen=True, kw_only=True)
class Lost(Good):
    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _Lost(ones, ones)


@dataclass(frozen=True, kw_only=True)
class Forgetful(Good):
    """Gives another intervention each time."""

    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _Change({site: one * torch.rand(()) for site, one in ones.items()}, ones)


@dataclass(frozen=True, kw_only=True)
class Elsewhere(Good):
    """Acts where there is nothing."""

    def shift(self, ones: dict[Site, torch.Tensor]) -> Intervention:
        return _Change({Site("nowhere"): torch.ones(1)}, {Site("nowhere"): torch.ones(1)})


@dataclass(frozen=True, kw_only=True)
class Deaf(Good):
    """Does not look at its setting."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        return Good().fit(model, concept, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Mingled(Good, FitsSideBySide):
    """Gives every concept the maps of all of them."""

    def fit_many(
        self, model: Model, concepts: Sequence[Concept], *, seed: int
    ) -> list[Intervention]:
        widths = {site: info.channels for site, info in model.sites.items()}
        ones = {site: len(concepts) * torch.ones(width) for site, width in widths.items()}
        return [self.shift(ones) for _ in concepts]


@dataclass(kw_only=True)
class Soft(FitsEachConcept):
    """Is not frozen."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        return Intervention()


@dataclass(frozen=True, kw_only=True)
class Raises(Good):
    """Has a bug."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        raise KeyError("lemon")


@pytest.fixture
def fruit(lemon: Concept) -> ConceptSet:
    return ConceptSet(
        name="fruit",
        version="1",
        licence="",
        about="",
        splits={"train": (lemon,), "dev": (lemon,), "test": ()},
        prompts=("horse",),
    )


def broken(method: str, fruit: ConceptSet, folder: Path) -> dict[str, str]:
    card = Card(name="own", method=f"{__name__}:{method}", summary="For tests.")
    return {
        each.promise: each.problem
        for each in contracts.check(Case(card=card, model=Toy(), concepts=fruit, folder=folder))
        if each.problem
    }


def test_a_good_method_breaks_none(fruit: ConceptSet, tmp_path: Path) -> None:
    assert broken("Good", fruit, tmp_path) == {}


@pytest.mark.parametrize(
    ("method", "promise"),
    [
        ("Unsigned", "the sign of the strength matters"),
        ("Constant", "strength 0 changes no bit"),
        ("InPlace", "inputs are not written to"),
        ("Lost", "a saved and loaded intervention gives the same images"),
        ("Forgetful", "a saved and loaded steering gives the same images"),
        ("Elsewhere", "it acts only on sites of the model"),
        ("Deaf", "a setting sites that matches nothing is refused"),
        ("Mingled", "concepts fitted side by side get what each gets alone"),
        ("Soft", "its settings cannot be changed"),
    ],
)
def test_a_broken_promise_is_found(
    method: str, promise: str, fruit: ConceptSet, tmp_path: Path
) -> None:
    assert promise in broken(method, fruit, tmp_path)


def test_a_method_that_cannot_learn_is_told_where_its_bug_is(
    fruit: ConceptSet, tmp_path: Path
) -> None:
    (problem,) = broken("Raises", fruit, tmp_path).values()
    assert problem.startswith("KeyError: 'lemon' (test_contracts_library.py, line ")
