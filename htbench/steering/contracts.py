"""The contract of every method, as checks that `htbench check method` and our own tests run."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from htbench.core import promises
from htbench.core.errors import UnknownName
from htbench.core.promises import BrokenPromise, PromiseResult, check_all, require
from htbench.core.types import Site
from htbench.steering import baseline, intervention
from htbench.steering import concept as concept_sets
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.hooks import activations, steer
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import FitsSideBySide, Method, Steering, load_or_train
from htbench.steering.model import Model, Request

SEED = 11
TOLERANCE = 2
"""Levels of 255 by which images that should be equal may differ off the CPU; on it, none."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A baseline on a model, against which promises are checked; it is trained on first use."""

    card: Card
    model: Model
    concepts: ConceptSet
    folder: Path
    """Folder for the files that promises write."""

    @cached_property
    def method(self) -> Method:
        """The method of the card."""
        method: Method = baseline.load_method(self.card)
        return method

    @cached_property
    def steering(self) -> Steering:
        """The method trained on the train concepts, now or before it was shipped."""
        return load_or_train(
            self.card, self.model, self.concepts.splits["train"], folder=self.folder, seed=0
        ).steering

    @cached_property
    def concept(self) -> Concept:
        """A dev concept, which no method is trained on."""
        return self.concepts.splits["dev"][0]

    @cached_property
    def intervention(self) -> Intervention:
        """The method's intervention for that concept."""
        return self.steering.towards(self.concept)

    @cached_property
    def positions(self) -> dict[Site, int]:
        """The number of positions of each site in an image of the model."""
        counts: dict[Site, int] = {}

        def count(site: Site, z: torch.Tensor) -> torch.Tensor:
            counts[site] = z.shape[1]
            return z

        with torch.no_grad():
            self.model.trace(self.concepts.prompts[:1], [SEED], count)
        return counts

    def images(self, *pairs: tuple[Intervention, float]) -> list[Image.Image]:
        """One batch: the same prompt and seed with each intervention at its strength."""
        prompt = self.concepts.prompts[0]
        return self.model.generate(
            [
                Request(prompt=prompt, seed=SEED, intervention=change, strength=strength)
                for change, strength in pairs
            ]
        )

    def images_match(self, first: Image.Image, second: Image.Image) -> bool:
        """True for equal images: to the bit on a CPU, within `TOLERANCE` elsewhere."""
        tolerance = 0 if self.model.device == "cpu" else TOLERANCE
        if first.size != second.size:
            return False
        difference = np.asarray(first, np.int16) - np.asarray(second, np.int16)
        return int(np.abs(difference).max()) <= tolerance


Promise = Callable[[Case], None]
"""Raises `BrokenPromise`, or anything else, if it is not kept; its name is the promise."""


name = promises.name


def check(case: Case) -> Iterator[PromiseResult]:
    """Check every promise in turn; stop if the first is broken, since the others depend on it."""
    return check_all(PROMISES, case)


def it_learns_a_concept(case: Case) -> None:
    require(
        isinstance(case.intervention, Intervention),
        f"`towards` gave a {type(case.intervention).__name__}, not an Intervention",
    )


def strength_0_changes_no_bit(case: Case) -> None:
    plain = case.images(*[(Intervention(), 0.0)] * 4)
    steered = case.images(*[(case.intervention, 0.0)] * 4)
    require(
        all(a.tobytes() == b.tobytes() for a, b in zip(plain, steered, strict=True)),
        "images differ from those of the model left alone",
    )
    for site in case.model.sites:
        z = _activations(case, site, images=2)
        require(
            torch.equal(case.intervention.apply(site, z.clone(), strength=0.0), z),
            f"`apply` changes activations of site {site!r}",
        )


def the_sign_of_the_strength_matters(case: Case) -> None:
    plain, up, down = case.images(
        (Intervention(), 0.0), (case.intervention, 1.0), (case.intervention, -1.0)
    )
    does_nothing = up.tobytes() == plain.tobytes() == down.tobytes()
    require(
        does_nothing or up.tobytes() != down.tobytes(), "strengths 1 and -1 give the same image"
    )


def an_image_depends_on_its_own_request_alone(case: Case) -> None:
    neighbours = [(Intervention(), 0.0), (case.intervention, -0.5), (case.intervention, 2.0)]
    first = case.images((case.intervention, 1.0), *neighbours)[0]
    last = case.images(*reversed(neighbours), (case.intervention, 1.0))[-1]
    require(
        case.images_match(first, last),
        "an image changed with its place and neighbours in the batch",
    )


def inputs_are_not_written_to(case: Case) -> None:
    for site in case.model.sites:
        z = _activations(case, site, images=2)
        before = z.clone()
        case.intervention.apply(site, z, strength=1.0)
        steer([case.intervention, case.intervention], [1.0, 0.5])(site, z)
        require(torch.equal(z, before), f"the input of site {site!r} was written to")


def a_batch_is_steered_as_each_image_alone(case: Case) -> None:
    strengths = [1.0, 0.0, -2.0]
    for site in case.model.sites:
        z = _activations(case, site, images=3)
        together = steer([case.intervention] * 3, strengths)(site, z)
        alone = torch.cat(
            [
                case.intervention.apply(site, z[k : k + 1], strength=strength)
                for k, strength in enumerate(strengths)
            ]
        )
        require(
            torch.allclose(together, alone, rtol=1e-5, atol=1e-5),
            f"at site {site!r} a batch is steered by other amounts than its images",
        )


def a_saved_and_loaded_steering_gives_the_same_images(case: Case) -> None:
    path = case.folder / "checked-steering"
    case.steering.save(path)
    again = case.method.load(case.model, path, seed=0).towards(case.concept)
    require(
        case.images_match(*case.images((again, 1.0), (case.intervention, 1.0))),
        "after saving and loading the image is another one",
    )


def a_saved_and_loaded_intervention_gives_the_same_images(case: Case) -> None:
    path = case.folder / "checked-change.safetensors"
    intervention.save(case.intervention, path)
    require(
        case.images_match(*case.images((intervention.load(path), 0.7), (case.intervention, 0.7))),
        "after saving and loading the image is another one",
    )


def hooks_are_gone_after_an_exception(case: Case) -> None:
    class Breaks(Intervention):
        sites = frozenset(list(case.model.sites)[-1:])

        def apply(self, site: Site, z: torch.Tensor, *, strength: float) -> torch.Tensor:
            raise _PlannedFailure

    (before,) = case.images((Intervention(), 0.0))
    try:
        case.images((case.intervention, 1.0), (Breaks(), 1.0))
    except _PlannedFailure:
        (after,) = case.images((Intervention(), 0.0))
        require(
            before.tobytes() == after.tobytes(), "the model is still steered after an exception"
        )
    else:
        raise BrokenPromise("the exception of an intervention is swallowed")


def it_acts_only_on_sites_of_the_model(case: Case) -> None:
    strange = sorted(case.intervention.sites - case.model.sites.keys())
    require(not strange, f"it acts on {strange[:3]}, which {case.model.name} does not have")


def a_site_of_no_model_is_refused_with_the_nearest_names(case: Case) -> None:
    site, info = next(iter(case.model.sites.items()))
    misspelt = Site(f"{site}x")
    zeros = torch.zeros(info.channels)
    _require_unknown_name(
        lambda: case.images((Affine({misspelt: zeros + 1}, {misspelt: zeros}), 1.0)), site
    )


def a_setting_sites_that_matches_nothing_is_refused(case: Case) -> None:
    fields = dataclasses.fields(case.method)  # type: ignore[arg-type]
    if "sites" in {field.name for field in fields}:
        site = next(iter(case.model.sites))
        method: Method = baseline.load_method(case.card.with_settings({"sites": (f"{site}x",)}))
        concepts = case.concepts.splits["train"][:2]
        _require_unknown_name(
            lambda: method.train(case.model, concepts, seed=0).towards(case.concept), site
        )


def every_site_it_acts_on_fires(case: Case) -> None:
    fired = activations(case.model, case.concepts.prompts[:1], [SEED])
    silent = sorted(case.intervention.sites - fired.keys())
    require(not silent, f"nothing passes through {silent[:3]}")


def it_declares_what_it_was_trained_on(case: Case) -> None:
    training = case.steering.training
    sets = [case.concepts]
    if case.model.name in case.card.artifacts:  # trained before, perhaps on another set
        sets += map(concept_sets.load, concept_sets.names())
    known = {concept.id for own in sets for concept in own.splits["train"]}
    held_out = {concept.id for split in ("dev", "test") for concept in case.concepts.splits[split]}
    strange = sorted(set(training.concepts) - (known - held_out))
    require(not strange, f"it was trained on {strange[:3]}, which are not among the train concepts")
    require(
        bool(training.concepts) == bool(training.seconds),
        f"{len(training.concepts)} training concepts, but {training.seconds} seconds of training",
    )


def concepts_fitted_side_by_side_get_what_each_gets_alone(case: Case) -> None:
    # one step: with every further one, rounding moves two descents further apart
    fields = {field.name for field in dataclasses.fields(case.method)}  # type: ignore[arg-type]
    short = {name: value for name, value in _SHORT.items() if name in fields}
    method: Method = baseline.load_method(case.card.with_settings(short))
    if not isinstance(method, FitsSideBySide):
        return
    pair = [case.concept, case.concepts.splits["train"][0]]
    alone = [_numbers(method.fit(case.model, concept, seed=0)) for concept in pair]
    gap = float((alone[0] - alone[1]).abs().mean())
    for order in (1, -1):
        together = method.fit_many(case.model, pair[::order], seed=0)[::order]
        for change, own in zip(map(_numbers, together), alone, strict=True):
            require(
                float((change - own).abs().mean()) <= 0.01 * gap + 1e-6,
                "its maps are others than those of a concept alone",
            )
    (single,) = method.fit_many(case.model, pair[:1], seed=0)
    require(torch.equal(_numbers(single), alone[0]), "one concept has not the bits of `fit`")


def it_reads_what_its_card_says(case: Case) -> None:
    if "image" in case.card.reads and case.concept.references:
        case.steering.towards(replace(case.concept, text="", template="", sources=()))


def its_settings_cannot_be_changed(case: Case) -> None:
    require(
        type(case.method).__dataclass_params__.frozen,  # type: ignore[attr-defined]
        "write @dataclass(frozen=True, kw_only=True)",
    )


PROMISES: tuple[Promise, ...] = (
    it_learns_a_concept,
    strength_0_changes_no_bit,
    the_sign_of_the_strength_matters,
    an_image_depends_on_its_own_request_alone,
    inputs_are_not_written_to,
    a_batch_is_steered_as_each_image_alone,
    a_saved_and_loaded_steering_gives_the_same_images,
    a_saved_and_loaded_intervention_gives_the_same_images,
    hooks_are_gone_after_an_exception,
    it_acts_only_on_sites_of_the_model,
    a_site_of_no_model_is_refused_with_the_nearest_names,
    a_setting_sites_that_matches_nothing_is_refused,
    every_site_it_acts_on_fires,
    it_declares_what_it_was_trained_on,
    concepts_fitted_side_by_side_get_what_each_gets_alone,
    it_reads_what_its_card_says,
    its_settings_cannot_be_changed,
)


_SHORT = {"steps": 1, "samples": 8, "batch": 4}
"""Values of settings, where a method has them, with which a descent is over soon."""


class _PlannedFailure(Exception):
    """Raised by an intervention that is made to fail."""


def _numbers(change: Intervention) -> torch.Tensor:
    """All numbers of an intervention, in one row."""
    tensors, _ = change.state()
    return torch.cat([tensors[name].float().flatten() for name in sorted(tensors)])


def _activations(case: Case, site: Site, *, images: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(SEED)
    shape = images, case.positions[site], case.model.sites[site].channels
    return torch.randn(shape, generator=random).to(case.model.device)


def _require_unknown_name(act: Callable[[], object], nearest: Site) -> None:
    try:
        act()
    except UnknownName as error:
        require(
            nearest in str(error),
            f"the message does not name the nearest site, {nearest!r}: {error}",
        )
    else:
        raise BrokenPromise("no error")
