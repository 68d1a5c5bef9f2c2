"""The adapter of diffusers' few-step generators as models.

It calls the denoiser and the scheduler itself: the calls of a pipeline would stop gradients.
"""

import copy
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from htbench.core import content, weights
from htbench.core import device as devices
from htbench.core.errors import Missing, Refused, UnknownName
from htbench.core.types import Digest, Site, SiteInfo
from htbench.models import random_weights
from htbench.models.published import (
    decoder,
    guidance,
    latents,
    lora,
    prompts,
    sampling,
    schedule,
)
from htbench.models.published.families import FAMILIES, Family
from htbench.models.published.guidance import Guidance
from htbench.models.published.preset import LoadOptions, Preset, architecture
from htbench.models.published.prompts import PromptCache
from htbench.steering import hooks
from htbench.steering.model import Request, Tap, check_finite

PROMPT_BATCH = 16
"""Prompts that a device encodes at a time."""


@dataclass(frozen=True, kw_only=True)
class Components:
    """The parts of a generator."""

    network: nn.Module
    vae: Any
    scheduler: Any
    """Set to the published timesteps; each run steps a copy."""
    prompts: PromptCache
    sites: Mapping[Site, SiteInfo]
    revision: Digest
    guidance: Guidance


class FewStepModel:
    """Implements `htbench.steering.model.Model`."""

    def __init__(
        self, preset: Preset, options: LoadOptions, device: str, components: Components
    ) -> None:
        self.name, self.scorer = preset.name, preset.scorer
        self.concept_encoder = (
            f"{preset.concept_encoder}-random"
            if options.weights == "random"
            else preset.concept_encoder
        )
        self.device, self.revision, self.sites = device, components.revision, components.sites
        self.preset, self.options = preset, options
        self.size = options.size or preset.size
        self.scheduler = components.scheduler
        self._guidance = components.guidance
        self._family = FAMILIES[preset.family]
        self._network, self._vae = components.network, components.vae
        self._prompts = components.prompts
        modules = {
            site: components.network.get_submodule(site.partition(".")[2])
            for site in components.sites
        }
        self._steered = hooks.SteeredModules(
            modules, self.sites, compiled_on=device if options.compile else None
        )
        self._compiled = _compile(components.network, options)

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        pixels = self.render(requests)
        check_finite(pixels)
        levels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        # turned on the device: PIL would take each image apart, 5 ms for 1024 pixels
        rows = levels.permute(0, 2, 3, 1).contiguous().cpu()
        return [Image.fromarray(array) for array in rows.numpy()]

    def render(self, requests: Sequence[Request]) -> Float[Tensor, "images rgb rows columns"]:
        """The decoder's output: images from about -1 (black) to 1 (white), not clamped."""
        changes = [request.intervention for request in requests]
        hooks.check_sites(self, changes)
        strengths = [request.strength for request in requests]
        mixtures = [
            change.prompts(request.prompt, strength=request.strength)
            for change, request in zip(changes, requests, strict=True)
        ]
        with torch.no_grad():
            with self._steered.attach(self._guidance.steer(changes, strengths)):
                latents = self._denoise(mixtures, [request.seed for request in requests])
            return self._decode(latents)

    def trace(self, prompts: Sequence[str], seeds: Sequence[int], tap: Tap) -> None:
        """Run the denoiser with `tap` at every site; the decoder has no sites and does not run."""
        tap = self._guidance.tap(tap, len(prompts))
        with self._steered.attach(tap), self._checkpointing(tap):
            self._denoise([{prompt: 1.0} for prompt in prompts], seeds)

    @property
    def timesteps(self) -> Sequence[float]:
        """Those of the preset, or those that the scheduler chose or shifted."""
        config = self.scheduler.config
        is_shifted = config.get("use_dynamic_shifting") or config.get("shift", 1.0) != 1.0
        if self.preset.timesteps and not is_shifted:
            return self.preset.timesteps
        return [float(each) for each in schedule.visited(self.scheduler)]

    def asked_timesteps(self, prompt: str, seed: int) -> list[float]:
        """The timesteps that the denoiser is asked at for one image, in their order."""
        asked: list[float] = []
        with torch.no_grad():
            self._denoise([{prompt: 1.0}], [seed], asked=asked)
        return asked

    def synchronise(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)

    def forget_prompts(self) -> None:
        self._prompts.forget()

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the denoiser."""
        return next(self._network.parameters()).dtype

    def facts(self) -> dict[str, str]:
        """The preset's facts for a report, with the options in force."""
        dtype = str(self.dtype).removeprefix("torch.")
        return {
            **self.preset.facts(),
            "weights": self.options.weights,
            "number format": dtype,
            "timesteps": ", ".join(f"{float(t):g}" for t in schedule.visited(self.scheduler)),
            **({} if self.preset.guidance else {"guidance": self._family.guidance}),
            "decoder": decoder.choose_dtype(self.options, self.device),
            "size": f"{self.size} x {self.size}",
        }

    def _denoise(
        self,
        mixtures: Sequence[Mapping[str, float]],
        seeds: Sequence[int],
        *,
        asked: list[float] | None = None,
    ) -> Float[Tensor, "images channels rows columns"]:
        from diffusers.utils.torch_utils import randn_tensor

        words = self._guidance.encode(self._prompts, mixtures)
        scheduler = copy.deepcopy(self.scheduler)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        shape = (len(seeds), *latents.format_of(self._vae).shape(self._vae, self.size))
        dtype = self._family.latent_dtype or words.states.dtype
        noise: Tensor = randn_tensor(
            shape, generator=generators, device=torch.device(self.device), dtype=dtype
        )
        noisy = noise * getattr(scheduler, "init_noise_sigma", 1.0)
        # Schedulers of flow matching have neither.
        scale = getattr(scheduler, "scale_model_input", lambda noisy, _: noisy)
        options = sampling.step_options(scheduler, generators)
        compiled = self._steered.runs_compiled
        network = self._guidance.embed(self._compiled if compiled else self._network, len(seeds))
        with self._on_device(self._network):
            for timestep in schedule.visited(scheduler):
                if compiled:
                    # A CUDA graph writes its output to the same memory at every step.
                    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
                if asked is not None:
                    asked.append(float(timestep))
                inputs = scale(self._guidance.inputs(noisy), timestep)
                answer = self._guidance.combine(
                    self._family.predict(network, inputs, timestep, words, size=self.size)
                )
                noisy = scheduler.step(answer, timestep, noisy, return_dict=False, **options)[0].to(
                    dtype
                )
        return noisy

    def _decode(
        self, denoised: Float[Tensor, "images channels rows columns"]
    ) -> Float[Tensor, "images rgb rows columns"]:
        with self._on_device(self._vae):
            return decoder.decode(self._vae, denoised, at_once=self.options.decode)

    @contextmanager
    def _on_device(self, module: nn.Module) -> Iterator[None]:
        if not self.options.offload:
            yield
            return
        module.to(self.device)
        try:
            yield
        finally:
            module.to("cpu")

    @contextmanager
    def _checkpointing(self, tap: Tap) -> Iterator[None]:
        """While inside, gradients recompute each block, whose outputs pass through `tap` again."""
        if not (self.options.checkpoint and torch.is_grad_enabled()):
            yield
            return

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), self._steered.reattach(tap)

        again = partial(
            checkpoint, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
        )
        network: Any = self._network
        network.enable_gradient_checkpointing(again)
        try:
            yield
        finally:
            network.disable_gradient_checkpointing()


def load(preset: Preset, options: LoadOptions, device: str) -> FewStepModel:
    """The generator, ready to use; raises what `assemble` does."""
    return FewStepModel(preset, options, device, assemble(preset, options, device))


def assemble(preset: Preset, options: LoadOptions, device: str) -> Components:
    """The parts of a generator; on the device `meta` tensors have no data.

    Raises:
        Missing: if weights are not on this machine, or memory is too small.
        Refused: if weights are damaged, or another model's.
        UnknownName: if `options.sites` matches no module.
    """
    numbers = options.weights != "random" and device != "meta"
    files = (
        weights.locate(
            preset.base,
            preset.denoiser,
            lora=preset.lora,
            location=options.weights,
            name=preset.name,
        )
        if numbers
        else None
    )
    configs = (
        _configs(files.base, FAMILIES[preset.family])
        if files is not None
        else _sketched_configs(preset, options)
    )
    sites = find_sites(preset, options, configs)
    try:
        return _components(preset, options, device, files, configs, sites)
    except Exception as error:
        if not devices.is_out_of_memory(error):
            raise
        remedy = (
            "Load it with --model-option offload=true, in a smaller number format, "
            "or on a larger device."
        )
        raise Missing(
            f"{preset.name} does not fit into the memory of {device}", remedy=remedy
        ) from None


def verify(preset: Preset, files: weights.LocalFiles) -> None:
    """Raise `Refused` unless the denoiser's weights are intact and fit the architecture."""
    family = FAMILIES[preset.family]
    with torch.device("meta"):
        network = family.build(_configs(files.base, family)["denoiser"])
    expected = network.state_dict()
    weights.check(weights.read(*files.denoiser), expected, files.denoiser[0])
    if files.lora:
        lora.read(files.lora, expected)


def find_sites(
    preset: Preset, options: LoadOptions, configs: Mapping[str, Any]
) -> dict[Site, SiteInfo]:
    """Modules that match `options.sites`, in the order of firing, on a denoiser without data.

    Raises:
        UnknownName: if none matches, with the nearest names.
    """
    family = FAMILIES[preset.family]
    with torch.device("meta"), torch.no_grad():
        network = family.build(configs["denoiser"]).requires_grad_(False)
        example, words = family.example_inputs(configs["denoiser"])
        timestep = torch.tensor((*preset.timesteps, 1)[0])
        is_guided = guidance.takes_input(preset, configs["denoiser"])
        asked = Guidance(kind="embedded" if is_guided else "none").embed(network, 1)
        candidates = hooks.find_candidate_sites(
            network,
            family.prefix,
            lambda: family.predict(asked, example, timestep, words, size=example.shape[-1]),
        )
    pattern = family.patterns.get(options.sites, options.sites)
    if not family.has_maps:
        candidates = {site: info for site, info in candidates.items() if info.channel_axis == -1}
    sites = {
        site: info
        for site, info in candidates.items()
        if fnmatchcase(site, pattern) or _matches(pattern, site)
    }
    if not sites:
        raise UnknownName(
            f"site of {preset.name}",
            options.sites,
            [*family.patterns, *candidates],
            remedy=f"See: htbench show model {preset.name}",
        )
    return sites


def _matches(pattern: str, site: str) -> bool:
    try:
        return re.fullmatch(pattern, site) is not None
    except re.error:
        return False


def _components(
    preset: Preset,
    options: LoadOptions,
    device: str,
    files: weights.LocalFiles | None,
    configs: Mapping[str, Any],
    sites: Mapping[Site, SiteInfo],
) -> Components:
    import diffusers

    # It warns of the published timesteps, and of settings of the scheduler that is replaced.
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    family, dtype = FAMILIES[preset.family], getattr(torch, options.dtype or preset.dtype)
    home = "cpu" if options.offload else device
    with _seeded_init(home, dtype):
        network = family.build(configs["denoiser"]).eval().requires_grad_(False)
    with _seeded_init(home, torch.float32):
        vae = getattr(diffusers, family.autoencoder).from_config(configs["vae"])
        vae.eval().requires_grad_(False)
    decoder_dtype = decoder.choose_dtype(options, device)
    decoder.prepare(vae, preset, options, files, decoder_dtype)
    if files is not None:
        state = weights.read(*files.denoiser)
        weights.check(state, network.state_dict(), files.denoiser[0])
        network.load_state_dict(state)
        if files.lora:
            lora.add(network, lora.read(files.lora, state))
    settings = {**configs["scheduler"], **preset.scheduler_settings}
    scheduler_name = sampling.name_scheduler(preset, files)
    size = options.size or preset.size
    _, side, _ = latents.format_of(vae).shape(vae, size)
    scheduler = sampling.make_scheduler(
        preset,
        scheduler_name,
        settings,
        "cpu" if device == "meta" else device,
        family=family,
        side=side,
        cells=(size // latents.pixels_per_cell(vae) // 2) ** 2,
    )
    guided = guidance.of(preset, denoiser=configs["denoiser"], pipeline=configs.get("pipeline", {}))
    text_digest = content.digest(
        [preset.family, _text_fingerprint(files), str(dtype), configs.get("words")]
    )
    prompt_cache = PromptCache(
        _text_encoder_loader(family, files, configs, dtype, device),
        encoder_digest=text_digest,
        folder=weights.cache_folder() / "prompts",
        device=device,
        # on a CPU a batch saves a fifth, and a prompt alone would take as long as a batch
        batch=1 if torch.device(device).type == "cpu" else PROMPT_BATCH,
    )
    image_weights = (
        weights.fingerprint(*files.denoiser, files.base / "vae", *filter(None, [files.lora]))
        if files
        else f"random, drawn on {torch.device(home).type}"
    )
    compiled = "denoiser" if options.compile else False
    image = [options.size or preset.size, str(dtype), options.decode, options.tile, compiled]
    if decoder_dtype != "float32":  # all were in float32 before, and keep their revision
        image.append(decoder_dtype)
    # As text, since settings may have an infinity, which a digest refuses.
    steps = [scheduler_name, json.dumps(settings, sort_keys=True), preset.timesteps]
    own = [preset.card] if preset.card else []
    revision = content.digest(
        [preset.name, 1, image_weights, text_digest, image, steps, sorted(sites), *own]
    )
    return Components(
        network=network,
        vae=vae,
        scheduler=scheduler,
        sites=sites,
        prompts=prompt_cache,
        revision=revision,
        guidance=guided,
    )


def _text_fingerprint(files: weights.LocalFiles | None) -> str:
    """Fingerprint of the text encoders and tokenisers; `random` without weights."""
    if files is None:
        return "random"
    prefixes = ("text_encoder", "tokenizer")
    paths = [path for path in sorted(files.base.iterdir()) if path.name.startswith(prefixes)]
    return weights.fingerprint(*paths)


def _text_encoder_loader(
    family: Family,
    files: weights.LocalFiles | None,
    configs: Mapping[str, Any],
    dtype: torch.dtype,
    device: str,
) -> Callable[[], prompts.TextEncoder]:
    if files is not None:
        return lambda: _load_text_encoder(family, files.base, dtype)
    shapes, encoders = configs["words"], configs["text_encoders"]
    return lambda: prompts.RandomTextEncoder(
        shapes=shapes,
        dtype=dtype,
        encoders=[random_text_encoder(config, dtype, device) for config in encoders],
    )


def _load_text_encoder(family: Family, folder: Path, dtype: torch.dtype) -> prompts.TextEncoder:
    from safetensors import SafetensorError

    try:
        return family.load_text_encoder(folder, dtype)
    except (SafetensorError, OSError, EOFError, ValueError, KeyError, RuntimeError) as error:
        if devices.is_out_of_memory(error):
            raise
        what = " ".join(str(error).split())[:160]
        raise Refused(
            f"text encoders in {str(folder)!r} cannot be read: {what}",
            remedy="Delete them and get them again: htbench fetch --model NAME",
        ) from None


def random_text_encoder(
    config: Mapping[str, Any], dtype: torch.dtype, device: str
) -> tuple[nn.Module, int]:
    """A text encoder with random weights, and the number of tokens per prompt."""
    import transformers

    kind = getattr(transformers, config["kind"])
    values = {key: value for key, value in config.items() if key not in ("kind", "tokens")}
    settings = kind.config_class(**values)
    return random_weights.draw(lambda: kind(settings), device, dtype), config["tokens"]


def _configs(folder: Path, family: Family) -> dict[str, Any]:
    """Settings of each part, as saved with the pipeline."""
    paths = {
        "denoiser": f"{family.prefix}/config.json",
        "vae": "vae/config.json",
        "scheduler": "scheduler/scheduler_config.json",
    }
    configs = {part: weights.read_config(folder / path) for part, path in paths.items()}
    index = folder / "model_index.json"
    own = weights.read_config(index) if index.is_file() else {}
    return {
        **{
            part: {key: value for key, value in config.items() if not key.startswith("_")}
            for part, config in configs.items()
        },
        "pipeline": {key: value for key, value in own.items() if not key.startswith("_")},
    }


def _sketched_configs(preset: Preset, options: LoadOptions) -> dict[str, Any]:
    """Settings of each part without weights: published ones, or those that are here for a card."""
    configs = dict(architecture(preset.family))
    if guidance.is_embedded(preset):
        configs["denoiser"] = {**configs["denoiser"], "guidance_embeds": True}
    if not preset.card or options.weights == "random":
        return configs
    base = preset.base.find() if options.weights == "hub" else Path(options.weights)
    is_here = base is not None and (base / "vae" / "config.json").is_file()
    return {**configs, **_configs(base, FAMILIES[preset.family])} if base and is_here else configs


@contextmanager
def _seeded_init(device: str, dtype: torch.dtype) -> Iterator[None]:
    """While inside, modules are created on `device` in `dtype`, from a fixed seed.

    A cast after loading would change the parts that a module keeps in float32.
    """
    before = torch.get_default_dtype()
    with (
        torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []),
        torch.device(device),
    ):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _compile(network: nn.Module, options: LoadOptions) -> nn.Module:
    """The denoiser as `options.compile` says; it is compiled at the first batch of each size."""
    if not options.compile:
        return network
    mode = None if options.compile is True else options.compile
    return cast(nn.Module, torch.compile(network, dynamic=False, mode=mode))
