"""The contract of every model, as checks that `htbench check model` and our own tests run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from htbench.core.promises import PromiseResult, check_all, require
from htbench.core.types import Site
from htbench.steering.hooks import mean_pool, steer
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.model import HasTimesteps, Model, Request

SEED = 11
TOLERANCE = 2
"""Levels of 255 by which images of batches of another size may differ on any device, and images
that should be equal off the CPU."""
STEPS = (1e-2, 1e-3, 1e-4)
"""Steps of the finite differences, in root mean squares of a site's activations. Through many
layers with random weights only small ones are straight; coarse number formats only have the first.
"""
ERROR = 0.05
"""Relative error of finite differences in float32 that gradients may have."""
_COARSE_ERROR = 0.5
"""The same in a number format of fewer digits, where only the sign and the size can be told."""
_STRONG = 4.0
"""Size of an intervention that has to be seen, in root mean squares of a site's activations."""
_PROBED = 6
"""Number of sites at which finite differences are taken, spread over all."""


@dataclass(frozen=True, kw_only=True)
class ModelCase:
    """A model, against which promises are checked."""

    model: Model
    prompts: Sequence[str]
    """Two or more prompts in words that the model knows."""

    def images(self, *requests: Request) -> list[Image.Image]:
        """The images of one batch."""
        return self.model.generate(requests)

    def request(
        self,
        change: Intervention | None = None,
        strength: float = 0.0,
        *,
        seed: int = SEED,
        prompt: int = 0,
    ) -> Request:
        """A request of one of the prompts, unsteered by default."""
        return Request(
            prompt=self.prompts[prompt],
            seed=seed,
            intervention=change or Intervention(),
            strength=strength,
        )

    @cached_property
    def sizes(self) -> dict[Site, float]:
        """Root mean square of the activations at each site."""
        squares: dict[Site, list[float]] = {site: [] for site in self.model.sites}

        def tap(site: Site, z: Tensor) -> Tensor:
            squares[site].append(float(z.double().square().mean()))
            return z

        with torch.no_grad():
            self.model.trace(self.prompts[:1], [SEED], tap)
        return {
            site: max(float(np.mean(each)) if each else 1.0, 1e-12) ** 0.5
            for site, each in squares.items()
        }

    def traced_states(self, change: Intervention, strength: float) -> "dict[Site, list[_State]]":
        """Activations that each site leaves in fitting, step by step."""
        states: dict[Site, list[_State]] = {}
        steered = steer([change], [strength])

        def tap(site: Site, z: Tensor) -> Tensor:
            result = steered(site, z)
            states.setdefault(site, []).append(_State.of(result))
            return result

        with torch.no_grad():
            self.model.trace(self.prompts[:1], [SEED], tap)
        return states

    def generated_states(self, change: Intervention) -> "dict[Site, list[_State]]":
        """Activations that each site leaves in generating at strength 1, step by step."""
        recorder = _Recorder(change, frozenset(self.model.sites))
        self.images(self.request(recorder, 1.0))
        return recorder.states

    @cached_property
    def probe(self) -> "_Probe":
        """The function whose gradients are checked."""
        return _Probe(self)

    def shift(self, sites: Sequence[Site], size: float = _STRONG) -> Affine:
        """The intervention that adds `size` root mean squares to channels of sites, with signs."""
        shifts = {
            site: size * self.sizes[site] * _signs(self.model.sites[site].channels, k)
            for k, site in enumerate(sites)
        }
        return Affine({site: torch.ones_like(each) for site, each in shifts.items()}, shifts)

    def are_equal(self, first: Image.Image, second: Image.Image) -> bool:
        """True for equal images: to the bit on a CPU, within `TOLERANCE` elsewhere."""
        return _distance(first, second) <= (0 if self.model.device == "cpu" else TOLERANCE)


def check(case: ModelCase) -> Iterator[PromiseResult]:
    """Check every promise in turn; stop if the first is broken, since the others depend on it."""
    return check_all(PROMISES, case)


def it_makes_an_image(case: ModelCase) -> None:
    images = case.images(case.request())
    require(
        len(images) == 1 and isinstance(images[0], Image.Image),
        f"one request gave {len(images)} images of {type(images[0]).__name__ if images else '-'}",
    )


def images_are_rgb_and_of_the_declared_size(case: ModelCase) -> None:
    images = case.images(case.request(), case.request(seed=SEED + 1))
    size = getattr(case.model, "size", images[0].width)
    for image in images:
        require(image.mode == "RGB", f"an image is of mode {image.mode!r}")
        require(
            image.size == (size, size),
            f"an image has {image.width} x {image.height} pixels, not {size} x {size}",
        )


def hidden_states_are_finite(case: ModelCase) -> None:
    change = case.shift(list(case.model.sites), 0.5)
    for strength in (0.0, 1.0):
        for site, states in case.traced_states(change, strength).items():
            require(
                all(bool(state.mean.isfinite().all()) for state in states),
                f"NaN or infinity at site {site!r}, at strength {strength:g}",
            )


def the_same_request_gives_the_same_image(case: ModelCase) -> None:
    change = case.shift(list(case.model.sites), 0.5)
    for request in (case.request(), case.request(change, 0.7)):
        (first,), (again,) = case.images(request), case.images(request)
        require(
            case.are_equal(first, again),
            f"strength {request.strength:g}: a second call gives another image",
        )


def different_seeds_give_different_images(case: ModelCase) -> None:
    images = case.images(*[case.request(seed=SEED + k) for k in range(3)])
    require(len({image.tobytes() for image in images}) == 3, "three seeds do not give three images")


def different_prompts_give_different_images(case: ModelCase) -> None:
    first, other = case.images(case.request(), case.request(prompt=1))
    require(
        first.tobytes() != other.tobytes(),
        f"{case.prompts[0]!r} and {case.prompts[1]!r} give the same image",
    )


def an_image_does_not_depend_on_its_batch(case: ModelCase) -> None:
    own = case.request(case.shift(list(case.model.sites), 0.5), 0.7)
    neighbours = [case.request(seed=SEED + 1), case.request(prompt=1, seed=SEED + 2)]
    first = case.images(own, *neighbours)[0]
    require(
        case.are_equal(first, case.images(own, *reversed(neighbours))[0]),
        "an image changed with its neighbours in a batch",
    )
    require(
        _distance(first, case.images(*neighbours, own)[-1]) <= TOLERANCE,
        "an image changed with its place in a batch",
    )
    (alone,) = case.images(own)
    require(
        (gap := _distance(first, alone)) <= TOLERANCE,
        f"an image alone differs by {gap} levels of 255 from that in a batch",
    )


def strength_0_changes_no_bit(case: ModelCase) -> None:
    change = case.shift(list(case.model.sites))
    plain = case.images(case.request(), case.request(seed=SEED + 1))
    steered = case.images(case.request(change), case.request(change, seed=SEED + 1))
    require(
        all(a.tobytes() == b.tobytes() for a, b in zip(plain, steered, strict=True)),
        "an image at strength 0 is not that of the plain model",
    )


def every_site_fires(case: ModelCase) -> None:
    counts: dict[Site, int] = dict.fromkeys(case.model.sites, 0)
    strange: set[Site] = set()

    def tap(site: Site, z: Tensor) -> Tensor:
        if site in counts:
            counts[site] += 1
        else:
            strange.add(site)
        return z

    with torch.no_grad():
        case.model.trace(case.prompts[:1], [SEED], tap)
    silent = [site for site, count in counts.items() if not count]
    require(not silent, f"nothing passes through {silent[:3]}")
    require(not strange, f"{sorted(strange)[:3]} fire and are not among its sites")
    require(
        len(set(counts.values())) == 1, f"some sites fire {max(counts.values())} times, some fewer"
    )


def sites_have_the_declared_channels(case: ModelCase) -> None:
    for site, states in case.traced_states(Intervention(), 0.0).items():
        shape, wanted = states[0].shape, case.model.sites[site].channels
        require(
            len(shape) == 3 and shape[-1] == wanted,
            f"site {site!r} gives {shape}, not (images, positions, {wanted})",
        )


def its_timesteps_are_those_that_it_declares(case: ModelCase) -> None:
    if not isinstance(case.model, HasTimesteps):
        return
    declared = [float(each) for each in case.model.timesteps]
    asked = case.model.asked_timesteps(case.prompts[0], SEED)
    require(
        len(asked) == len(declared)
        and all(
            abs(a - b) <= 1e-3 * max(1.0, abs(b)) for a, b in zip(asked, declared, strict=True)
        ),
        f"the denoiser is asked at {asked}, not at {declared}",
    )


def an_intervention_at_each_site_changes_the_image(case: ModelCase) -> None:
    sites = list(case.model.sites)
    for start in range(0, len(sites), 15):
        part = sites[start : start + 15]
        requests = [case.request(case.shift([site]), 1.0) for site in part]
        plain, *images = case.images(case.request(), *requests)
        for site, image in zip(part, images, strict=True):
            require(
                image.tobytes() != plain.tobytes(),
                f"an intervention at site {site!r} changes nothing",
            )


def the_sign_of_the_strength_matters(case: ModelCase) -> None:
    change = case.shift(list(case.model.sites), 0.5)
    up, down = case.images(case.request(change, 1.0), case.request(change, -1.0))
    require(up.tobytes() != down.tobytes(), "strengths 1 and -1 give the same image")


def fitting_sees_what_generating_does(case: ModelCase) -> None:
    change = case.shift(list(case.model.sites), 0.5)
    made, traced = case.generated_states(change), case.traced_states(change, 1.0)
    for site, states in traced.items():
        require(site in made, f"site {site!r} fires in fitting and not in generating")
        pairs = list(zip(states, made[site], strict=False))
        gap = max(float((a.mean - b.mean).abs().max()) for a, b in pairs)
        require(
            len(states) == len(made[site]) and gap <= states[0].rounding * case.sizes[site],
            f"site {site!r} has other activations in fitting than in generating",
        )


def interventions_keep_the_number_format(case: ModelCase) -> None:
    plain = case.generated_states(Intervention())
    steered = case.generated_states(case.shift(list(case.model.sites), 0.5))
    for site, states in plain.items():
        before, now = states[0].dtype, steered[site][0].dtype
        require(before == now, f"site {site!r} has {before}, and {now} where it is steered")


def gradients_reach_every_site(case: ModelCase) -> None:
    for site, gradient in case.probe.gradients.items():
        require(bool(gradient.isfinite().all()), f"the gradient at site {site!r} is not finite")
        require(bool(gradient.abs().max() > 0), f"no gradient reaches site {site!r}")


def gradients_are_those_of_finite_differences(case: ModelCase) -> None:
    probe = case.probe
    sites = list(probe.gradients)
    places = np.linspace(0, len(sites) - 1, min(_PROBED, len(sites))).round().astype(int)
    for site in [sites[k] for k in places]:
        direction = case.sizes[site] * _signs(case.model.sites[site].channels, 1).double()
        gradient = probe.gradients[site]
        slope, measured = float(gradient @ direction), 0.0
        typical = max(abs(slope), float(gradient.norm()) * case.sizes[site])
        is_near = False
        for step in probe.steps:
            measured = probe.difference(site, direction, step)
            is_near = abs(slope - measured) <= probe.error * typical + probe.rounding(step)
            if is_near:
                break
        told = f"the gradient is {slope:.3g}, and {measured:.3g} by finite differences"
        require(is_near or slope * measured > 0, f"at site {site!r} of the wrong sign: {told}")
        require(is_near, f"at site {site!r} {told}")


def hooks_are_gone_after_an_exception(case: ModelCase) -> None:
    (before,) = case.images(case.request())
    try:
        case.images(case.request(_Fails(list(case.model.sites)[-1]), 1.0))
    except _PlannedFailure:
        (after,) = case.images(case.request())
        require(
            before.tobytes() == after.tobytes(), "the model is still steered after an exception"
        )
    else:
        require(False, "the exception of an intervention is swallowed")


PROMISES = (
    it_makes_an_image,
    images_are_rgb_and_of_the_declared_size,
    every_site_fires,
    sites_have_the_declared_channels,
    hidden_states_are_finite,
    the_same_request_gives_the_same_image,
    different_seeds_give_different_images,
    different_prompts_give_different_images,
    an_image_does_not_depend_on_its_batch,
    strength_0_changes_no_bit,
    its_timesteps_are_those_that_it_declares,
    an_intervention_at_each_site_changes_the_image,
    the_sign_of_the_strength_matters,
    fitting_sees_what_generating_does,
    interventions_keep_the_number_format,
    gradients_reach_every_site,
    gradients_are_those_of_finite_differences,
    hooks_are_gone_after_an_exception,
)


class _PlannedFailure(Exception):
    """Raised by an intervention that is made to fail."""


class _Fails(Intervention):
    def __init__(self, site: Site) -> None:
        self.sites = frozenset([site])

    def apply(self, site: Site, z: Tensor, *, strength: float) -> Tensor:
        raise _PlannedFailure


class _Recorder(Intervention):
    """An intervention that keeps what another one leaves at each site."""

    def __init__(self, change: Intervention, sites: frozenset[Site]) -> None:
        self.sites, self._change = sites, change
        self.states: dict[Site, list[_State]] = {}

    def apply(self, site: Site, z: Tensor, *, strength: float) -> Tensor:
        result = self._change.apply(site, z, strength=strength) if self._change.sites else z
        self.states.setdefault(site, []).append(_State.of(result))
        return result


@dataclass(frozen=True, kw_only=True)
class _State:
    """The activations of an image at a site, at one step."""

    mean: Float[Tensor, "images channels"]
    """Mean over positions, on the CPU."""
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, z: Tensor) -> "_State":
        mean = mean_pool(z).detach().double().cpu()
        return cls(mean=mean, shape=tuple(z.shape), dtype=z.dtype)

    @property
    def rounding(self) -> float:
        """Error of a mean that another order of operations may make, of numbers of size 1."""
        return 100 * torch.finfo(self.dtype).eps


class _Probe:
    """A sum of the last site's activations, by random weights, as a function of earlier shifts.

    It is that of the last step, so that every other site has a part in it by later operations
    alone.
    """

    def __init__(self, case: ModelCase) -> None:
        self._case, self._model = case, case.model
        *others, self._last = case.model.sites
        self._shifts = {
            site: torch.zeros(1, case.model.sites[site].channels, device=case.model.device)
            for site in others
        }
        self._weights = _signs(case.model.sites[self._last].channels, 0).double()
        self._dtype = torch.float32
        self._size = 0.0

    @cached_property
    def gradients(self) -> dict[Site, Float[Tensor, " channels"]]:
        """Gradients of the sum with respect to a shift at each site but the last."""
        shifts = {site: shift.requires_grad_() for site, shift in self._shifts.items()}
        with torch.enable_grad():
            total = self._sums(shifts, images=1).sum()
        if not total.requires_grad:
            return {site: torch.zeros(shift.shape[1]).double() for site, shift in shifts.items()}
        total.backward()  # type: ignore[no-untyped-call]
        return {
            site: (torch.zeros_like(shift) if shift.grad is None else shift.grad)[0].double().cpu()
            for site, shift in shifts.items()
        }

    @property
    def _is_fine(self) -> bool:
        return self._dtype in (torch.float32, torch.float64)

    @property
    def error(self) -> float:
        """Relative error that the number format allows."""
        return ERROR if self._is_fine else _COARSE_ERROR

    @property
    def steps(self) -> Sequence[float]:
        """Steps of finite differences that the number format allows, the largest first."""
        return STEPS if self._is_fine else STEPS[:1]

    def rounding(self, step: float) -> float:
        """Error of a difference by the rounding of the sum's terms to float32."""
        return torch.finfo(torch.float32).eps * self._size / step

    def difference(self, site: Site, direction: Float[Tensor, " channels"], step: float) -> float:
        """The slope of the sum along a shift at `site`, by a central difference."""
        both = torch.stack([step * direction, -step * direction]).float().to(self._model.device)
        with torch.no_grad():
            up, down = self._sums({site: both}, images=2)
        return float(up - down) / (2 * step)

    def _sums(self, shifts: Mapping[Site, Tensor], *, images: int) -> Float[Tensor, " images"]:
        reached: list[Tensor] = []

        def tap(site: Site, z: Tensor) -> Tensor:
            if site == self._last:
                self._dtype = z.dtype
                reached.append(mean_pool(z).double())
                self._size = float(reached[-1][0].detach().abs().sum())
            elif site in shifts:
                return z + shifts[site][:, None].to(z.dtype)
            return z

        self._model.trace([*self._case.prompts[:1]] * images, [SEED] * images, tap)
        return reached[-1] @ self._weights.to(reached[-1].device)


def _signs(count: int, seed: int) -> Float[Tensor, " channels"]:
    """1 and -1 at random."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (count,), generator=random).float() * 2 - 1


def _distance(first: Image.Image, second: Image.Image) -> int:
    """The largest difference of two images in levels of 255; 255 for images of other sizes."""
    if first.size != second.size or first.mode != second.mode:
        return 255
    return int(np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16)).max())
