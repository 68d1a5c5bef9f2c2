"""`python -m htbench.models.emoji.train --stage clip-a|generator|clip-b|hypertransport`: makes the embedded world's weights from nothing, in this order."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from jaxtyping import Float, Int
from open_clip import CLIP
from torch import Tensor, nn

from htbench.core import device, registry
from htbench.core.errors import HtbenchError
from htbench.models.emoji import clip, scenes, vocabulary
from htbench.models.emoji.generator import PARTS, WIDTH, Generator
from htbench.models.emoji.icons import WEIGHTS_FOLDER, noun_drawings, nouns
from htbench.models.emoji.pretrained import restore
from htbench.models.emoji.sampling import (
    CLIP_LATE_PROBABILITIES,
    GENERATOR_FINISH_PROBABILITIES,
    GENERATOR_LATE_PROBABILITIES,
    PROBABILITIES,
    SceneBatch,
    sample_batch,
    sample_wordings,
)
from htbench.steering import baseline, concept
from htbench.steering.fitting.trainer import Recipe, Trainer
from htbench.steering.method import Method
from htbench.steering.model import Model


def initial_word_vectors(
    width: int, *, parts: int
) -> tuple[Int[Tensor, " words"], Float[Tensor, "words features"]]:
    """Where a noun's words start: for each of `parts` x `parts` parts of its drawings, the part's principal components over all nouns.

    So what one noun teaches of drawing serves all others. A word that several nouns share gets what fits them best by least squares; components
    are scaled by the square root of their deviation.
    """
    looks = noun_drawings()
    size = looks.shape[2] // parts
    pieces = [
        looks[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size].reshape(len(looks), -1)
        for i in range(parts)
        for j in range(parts)
    ]
    words = sorted({word for noun in nouns() for word in noun.split()})
    says = np.linalg.pinv(
        np.array([[word in noun.split() for word in words] for noun in nouns()], np.float64)
    )
    vectors = []
    for piece in pieces:
        left, deviations, _ = np.linalg.svd(piece - piece.mean(0), full_matrices=False)
        vectors.append(says @ (left[:, :width] * np.sqrt(deviations[:width])))
    numbers = torch.tensor([vocabulary.token_ids()[word] for word in words])
    return numbers, torch.from_numpy(
        np.concatenate([part / np.sqrt((part**2).mean()) for part in vectors], 1)
    ).float()


class GeneratorTask:
    """Plain regression: the composer is a perfect teacher, so image = f(noise, caption) needs no diffusion.

    With an `eye` it also counts how differently that CLIP sees made and true images, which have to be alike in what tells nouns apart and not
    only in pixels (Johnson et al. Perceptual Losses for Real-Time Style Transfer and Super-Resolution. 2016. https://arxiv.org/abs/1603.08155).
    """

    def __init__(
        self,
        network: Generator,
        recipe: Recipe,
        device: torch.device,
        *,
        critic: CLIP | None = None,
    ) -> None:
        self.network = network.to(device)
        self.recipe, self.device = recipe, device
        self.critic = critic.to(device).requires_grad_(False) if critic else None
        if critic:
            critic.visual.output_tokens = True

    def loss(self, step: int) -> Tensor:
        chances = (
            GENERATOR_FINISH_PROBABILITIES
            if self.critic
            else PROBABILITIES
            if step < self.recipe.steps // 2
            else GENERATOR_LATE_PROBABILITIES
        )
        batch = sample_batch(self.recipe.seed, step, self.recipe.batch, chances)
        pixels = batch.pixels.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            made = self.network(
                batch.latents.to(self.device), self.network.encode(batch.captions)
            ).float()
            half = len(made) // 2  # which is enough, and makes the step shorter
            strange = (
                perceptual_distance(self.critic, made[:half], pixels[:half]) if self.critic else 0.0
            )
        error: Tensor = made - pixels
        return error.abs().mean() + error.square().mean() + 0.3 * strange

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        outside = (
            "embed",
            "shared",
            "proj_out",
            "scale_shift",
            "relative",
            "adaln",
            "caption_projection",
            "role",
            "looks",
            "part",
        )
        return weight.ndim == 2 and not any(part in name for part in outside)


def perceptual_distance(
    critic: CLIP,
    generated: Float[Tensor, "images rgb rows columns"],
    true: Float[Tensor, "images rgb rows columns"],
) -> Tensor:
    """Cosine distance of what a CLIP that gives its cells too makes of made and true images, whole and cell by cell: from 0, alike, to 4."""
    with torch.no_grad():
        seen = critic.visual(true)
    both = zip(critic.visual(generated), seen, strict=True)
    return sum(
        (
            1 - nn.functional.cosine_similarity(one.float(), other.float(), dim=-1).mean()
            for one, other in both
        ),
        torch.zeros(()),
    )


class CellDropout(nn.Module):
    """Drops a share of an image's cells at random, as FLIP does: half the cells, nearly half the time."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_cells: Int[Tensor, "images cells"] | None = None

    def forward(
        self, tokens: Float[Tensor, "images tokens width"]
    ) -> Float[Tensor, "images tokens width"]:
        if self.kept_cells is None:
            return tokens
        return torch.cat(
            [
                tokens[:, :1],
                tokens[:, 1:].gather(
                    1, self.kept_cells[..., None].expand(-1, -1, tokens.shape[-1])
                ),
            ],
            1,
        )


class ClipTask:
    """Contrastive learning, in which every image is held against four kinds of texts.

    The captions of its batch; its own caption with one fact changed, which teaches what presence is; one-fact captions, so that a rare noun is
    not only met by the few images that share its batch; and for each cell of the image the one-fact captions again: which drawing covers it?
    After a third of the training most scenes are styled: a noun under one of 26 styles is what takes longest to tell.
    Half the cells are dropped until the last fifth of the training (Li et al. Scaling Language-Image Pre-training via Masking. 2022.
    https://arxiv.org/abs/2212.00794).
    """

    def __init__(self, name: str, recipe: Recipe, device: torch.device, *, compiled: bool) -> None:
        self.network = clip.build(name)
        with torch.no_grad():
            words, looks = initial_word_vectors(self.network.token_embedding.embedding_dim, parts=1)
            self.network.token_embedding.weight[words] = 0.1 * looks
        self.network.to(device)
        self.network.visual.output_tokens = True
        self.network.visual.patch_dropout = self.cell_dropout = CellDropout()
        self.recipe, self.device = recipe, device
        self.facts = [
            (kind, value)
            for kind, values in ({"noun": nouns()} | scenes.VALUES).items()
            for value in values
        ]
        self.fact_index = {fact: k for k, fact in enumerate(self.facts)}
        single = clip.tokenise([scenes.caption(dict([fact])) for fact in self.facts])
        self.fact_tokens = single[:, : int((single > 0).sum(1).max())].to(device)
        if compiled:
            self.network.visual.transformer.compile()
            self.network.transformer.compile()

    def loss(self, step: int) -> Tensor:
        batch = sample_batch(
            self.recipe.seed,
            step,
            self.recipe.batch,
            PROBABILITIES if step < self.recipe.steps // 3 else CLIP_LATE_PROBABILITIES,
        )
        rng = np.random.default_rng((self.recipe.seed, step, 1))
        told = [_mentioned_facts(scene, rng) for scene in batch.scenes]
        captions = [scenes.caption(facts, sample_wordings(rng)) for facts in told]
        changed = [
            scenes.caption(_altered_facts(facts, scene.facts(), rng))
            for facts, scene in zip(told, batch.scenes, strict=True)
        ]
        pixels = clip.blur_and_noise(
            batch.pixels, torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        )
        candidates = torch.from_numpy(rng.permutation(len(self.facts))[: len(self.facts) // 2])
        covered = self._cell_facts(batch)
        whole = step >= 0.8 * self.recipe.steps
        kept = torch.from_numpy(rng.random(covered.shape)).argsort(1)[:, : covered.shape[1] // 2]
        self.cell_dropout.kept_cells = None if whole else kept.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            pooled, cells = self.network.visual(pixels.to(self.device))
            texts = clip.encode_text(
                self.network, clip.tokenise(captions + changed).to(self.device)
            ).float()
            single = clip.encode_text(self.network, self.fact_tokens[candidates]).float()
            cells = cells @ self.network.visual.proj
        images = nn.functional.normalize(pooled.float(), dim=-1)
        scale = self.network.logit_scale.exp().clamp(max=100)
        logits = scale * images @ texts.T
        own = torch.arange(len(images), device=self.device)
        total: Tensor = nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(
            logits[:, : len(images)].T, own
        )
        total = total + self._fact_loss(scale * images @ single.T, batch, candidates)
        spots = nn.functional.normalize(cells.flatten(0, 1).float(), dim=-1)
        answers = self._candidate_indices(
            covered if whole else covered.gather(1, kept), candidates
        ).flatten()
        asked = answers >= 0
        total += nn.functional.cross_entropy(
            scale * spots[asked.to(self.device)] @ single.T, answers[asked].to(self.device)
        )
        return total

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return weight.ndim == 2 and "resblocks" in name

    def _fact_loss(
        self,
        logits: Float[Tensor, "images candidates"],
        batch: SceneBatch,
        candidates: Int[Tensor, " candidates"],
    ) -> Tensor:
        """Cross entropy of each fact of each scene among the candidates of its kind; facts that are no candidates do not count."""
        total = logits.new_zeros(())
        for kind in ("noun", *scenes.VALUES):
            alike = torch.tensor([self.facts[k][0] == kind for k in candidates.tolist()])
            facts = torch.tensor(
                [
                    self.fact_index.get((kind, scene.facts().get(kind, "")), -1)
                    for scene in batch.scenes
                ]
            )
            answers = self._candidate_indices(facts, candidates[alike])
            if (answers >= 0).any():
                asked = (answers >= 0).to(self.device)
                part = nn.functional.cross_entropy(
                    logits[asked][:, alike.to(self.device)],
                    answers[answers >= 0].to(self.device),
                    reduction="sum",
                )
                total = total + 2 * part / len(logits)
        return total

    def _candidate_indices(
        self, facts: Int[Tensor, "..."], candidates: Int[Tensor, " candidates"]
    ) -> Int[Tensor, "..."]:
        """Where facts stand among the candidates; -1 where they do not."""
        place = torch.full((len(self.facts) + 1,), -1)
        place[candidates] = torch.arange(len(candidates))
        return place[facts]

    def _cell_facts(self, batch: SceneBatch) -> Int[Tensor, "images cells"]:
        """The fact that is drawn in each 8 x 8 cell; -1 where nothing is."""
        found = torch.full((len(batch.scenes), 8, 8), -1)
        for k, (scene, latent) in enumerate(zip(batch.scenes, batch.latents.numpy(), strict=True)):
            for placed in scenes.layout(scene.companion is not None, scenes.choices(latent)):
                rows, columns = (
                    slice(start // 8, (start + placed.size) // 8)
                    for start in (placed.top, placed.left)
                )
                found[k, rows, columns] = self.fact_index[placed.kind, scene.facts()[placed.kind]]
        return found.flatten(1)


def _mentioned_facts(scene: scenes.Scene, rng: np.random.Generator) -> dict[str, str]:
    """What a caption says of a scene: one in three leaves out some facts."""
    facts = scene.facts()
    if rng.random() < 0.33:
        facts = {kind: value for kind, value in facts.items() if rng.random() < 0.5} or facts
    return facts


def _altered_facts(
    mentioned: dict[str, str], true: dict[str, str], rng: np.random.Generator
) -> dict[str, str]:
    """What is told with one fact less, or with one that is not true."""
    kind = str(rng.choice([*mentioned, *scenes.VALUES]))
    if kind in mentioned and kind != "noun" and rng.random() < 0.5:
        return {other: value for other, value in mentioned.items() if other != kind} or {
            "noun": true["noun"]
        }
    values = nouns() if kind == "noun" else scenes.VALUES[kind]
    while (value := values[int(rng.integers(len(values)))]) == true.get(kind):
        pass
    return mentioned | {kind: value}


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Attention as matrix products and a softmax: PyTorch's fused kernel takes three times as long to train through on a CPU."""

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
    ) -> Tensor:
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        mixed: Tensor = (scores if attn_mask is None else scores + attn_mask).softmax(-1).to(
            value.dtype
        ) @ value
        return mixed

    with patch.object(nn.functional, "scaled_dot_product_attention", attend):
        yield


FINISH_RECIPE = Recipe(
    steps=1500, batch=64, seed=4, rate=2e-4, embedding_rate=2e-3, matrix_rate=2e-3, cooldown=1.0
)
"""The last steps of the generator, under the eye of CLIP `a`."""
RECIPES = {
    "clip-a": Recipe(
        steps=800, batch=256, seed=2, embedding_rate=2e-3, matrix_rate=2e-2, cooldown=0.3
    ),
    "generator": Recipe(steps=10000, batch=64, seed=1, embedding_rate=1e-2, cooldown=0.5),
    "clip-b": Recipe(
        steps=5000, batch=256, seed=3, embedding_rate=2e-3, matrix_rate=2e-2, cooldown=0.3
    ),
}


def untrained_generator() -> Generator:
    """A generator that knows nothing but what the parts of nouns' drawings have in common."""
    network = Generator()
    with torch.no_grad():
        words, looks = initial_word_vectors(WIDTH, parts=PARTS)
        network.looks.weight[words] = looks
    return network


def train_generator(
    recipe: Recipe,
    finish: Recipe,
    device: torch.device,
    checkpoints: Path,
    out: Path,
    *,
    compiled: bool,
) -> None:
    """Learn to draw from pixels, then finish under the eye of CLIP `a`, whose weights are in `out`."""
    eye = clip.build("clip-a")
    restore(eye, "clip-a", out)
    network = untrained_generator()
    if compiled:
        network.transformer.compile()
    drawing = Trainer(GeneratorTask(network, recipe, device), recipe, checkpoints / "generator")
    drawing.run()
    drawing.use_average()
    finishing = Trainer(
        GeneratorTask(network, finish, device, critic=eye), finish, checkpoints / "generator-finish"
    )
    finishing.run()
    finishing.export(out / "generator.safetensors", previous=drawing)


def train_hypertransport(
    device: str, checkpoints: Path, out: Path | None, steps: int | None
) -> None:
    """Train HyperTransport on the train concepts, with the settings of its card, for the weights that are shipped; into `out` instead of their place."""
    card = baseline.load_card("hypertransport")
    method: Method = baseline.load_method(card.with_settings({"steps": steps}) if steps else card)
    model: Model = registry.load("models", "emoji")(device)
    steering = method.train(
        model, concept.load("emoji").splits["train"], seed=0, folder=checkpoints
    )
    place = card.artifacts["emoji"]
    steering.save(out / place.name if out else place)


def main() -> None:
    """A mistake is two lines on stderr and an exit code, as in `htbench`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=[*RECIPES, "hypertransport"], required=True)
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=Path("runs/train"),
        help="folder that an interrupted run continues from",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="where the finished weights go and those of clip-a are; not given: where they are shipped",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network, unless it is hypertransport's: a minute to start, a quarter faster",
    )
    given = parser.parse_args()
    if given.steps is not None and given.steps < 1:
        parser.error(f"--steps {given.steps}: at least 1")
    try:
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
        _train(
            given.stage,
            device.choose(given.device),
            given.checkpoints,
            given.out,
            given.steps,
            compiled=given.compile,
        )
    except HtbenchError as error:
        sys.stderr.write(f"{error}\n{error.remedy}\n")
        sys.exit(error.exit_code)


def _train(
    stage: str,
    device_name: str,
    checkpoints: Path,
    out: Path | None,
    steps: int | None,
    *,
    compiled: bool,
) -> None:
    if stage == "hypertransport":
        train_hypertransport(device_name, checkpoints / stage, out, steps)
        return
    recipe, finish = RECIPES[stage], FINISH_RECIPE
    if steps:
        recipe, finish = replace(recipe, steps=steps), replace(finish, steps=steps)
    words = "".join(f"{word}\n" for word in scenes.words()).encode()
    for path in {
        folder / "vocabulary.txt" for folder in (WEIGHTS_FOLDER, out or WEIGHTS_FOLDER)
    }:  # weights are read together with it
        if not (path.is_file() and path.read_bytes() == words):
            path.write_bytes(words)
    torch.manual_seed(recipe.seed)
    if stage == "generator":
        train_generator(
            recipe,
            finish,
            torch.device(device_name),
            checkpoints,
            out or WEIGHTS_FOLDER,
            compiled=compiled,
        )
        return
    with unfused_attention() if device_name == "cpu" else nullcontext():
        trainer = Trainer(
            ClipTask(stage, recipe, torch.device(device_name), compiled=compiled),
            recipe,
            checkpoints / stage,
        )
        trainer.run()
        trainer.export((out or WEIGHTS_FOLDER) / f"{stage}.safetensors")


if __name__ == "__main__":
    main()
