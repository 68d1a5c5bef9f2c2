"""`python -m htbench.models.emoji.train --stage clip-a|generator|clip-b|hypertransport`: makes the
embedded world's weights in this order, from nothing or from those of another world (`--start`)."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from open_clip import CLIP
from torch import Tensor, nn

from htbench.core import device, registry
from htbench.core.errors import HtbenchError
from htbench.models.emoji import clip, scenes, vocabulary
from htbench.models.emoji.continuing import start_from
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
    with_synonyms,
)
from htbench.models.emoji.worlds import SHIPPED
from htbench.steering import baseline, concept
from htbench.steering.fitting.trainer import Recipe, Trainer
from htbench.steering.method import Method
from htbench.steering.model import Model


def initial_word_vectors(
    width: int, *, parts: int
) -> tuple[Int[Tensor, " words"], Float[Tensor, "words features"]]:
    """Tokens and first embeddings of the words of nouns, from principal components of drawings.

    The drawings of all nouns are cut into `parts` x `parts` parts. For each part the embedding has
    the noun's components, scaled by the square root of their deviation; so the drawing of one noun
    helps with all others. A word of several nouns gets the least-squares fit to them.
    """
    drawings = noun_drawings()
    size = drawings.shape[2] // parts
    slices = [slice(k * size, (k + 1) * size) for k in range(parts)]
    pieces = [
        drawings[:, :, rows, columns].reshape(len(drawings), -1)
        for rows in slices
        for columns in slices
    ]
    words = sorted({word for noun in nouns() for word in noun.split()})
    incidence = [[word in noun.split() for word in words] for noun in nouns()]
    least_squares = np.linalg.pinv(np.array(incidence, np.float64))
    vectors = []
    for piece in pieces:
        left, deviations, _ = np.linalg.svd(piece - piece.mean(0), full_matrices=False)
        vectors.append(least_squares @ (left[:, :width] * np.sqrt(deviations[:width])))
    tokens = torch.tensor([vocabulary.token_ids()[word] for word in words])
    scaled = np.concatenate([part / np.sqrt((part**2).mean()) for part in vectors], 1)
    return tokens, torch.from_numpy(scaled).float()


class GeneratorTask:
    """The regression of true images on noise and caption, which determine them: no diffusion.

    From the share `late_from` of the steps on, scenes have more styles and backgrounds. With a
    `critic` the loss has a perceptual part, the distance of generated and true images in
    that CLIP, since they have to agree in what distinguishes nouns and not only in pixels.

    References:
        Johnson et al. Perceptual Losses for Real-Time Style Transfer and Super-Resolution. 2016.
        https://arxiv.org/abs/1603.08155
    """

    def __init__(
        self,
        network: Generator,
        recipe: Recipe,
        device: torch.device,
        *,
        critic: CLIP | None = None,
        late_from: float = 0.5,
    ) -> None:
        self.network = network.to(device)
        self.recipe, self.device, self.late_from = recipe, device, late_from
        self.critic = critic.to(device).requires_grad_(False) if critic else None
        if critic:
            critic.visual.output_tokens = True

    def loss(self, step: int) -> Tensor:
        early = step < self.late_from * self.recipe.steps
        probabilities = PROBABILITIES if early else GENERATOR_LATE_PROBABILITIES
        if self.critic:
            probabilities = GENERATOR_FINISH_PROBABILITIES
        batch = sample_batch(self.recipe.seed, step, self.recipe.batch, probabilities)
        pixels = batch.pixels.to(self.device)
        with device.autocast_bfloat16(str(self.device)):
            embeds = self.network.encode(batch.captions)
            generated = self.network(batch.latents.to(self.device), embeds).float()
            half = len(generated) // 2  # enough for the critic, and a shorter step
            perceptual = (
                perceptual_distance(self.critic, generated[:half], pixels[:half])
                if self.critic
                else 0.0
            )
        error: Tensor = generated - pixels
        return error.abs().mean() + error.square().mean() + 0.3 * perceptual

    def is_hidden_matrix(self, name: str, weight: nn.Parameter) -> bool:
        return weight.ndim == 2 and not any(part in name for part in _NOT_HIDDEN)


_NOT_HIDDEN = (
    "embed", "shared", "proj_out", "scale_shift", "relative", "adaln", "caption_projection",
    "role", "looks", "part",
)  # fmt: skip
"""Parts of the names of the generator's weights that AdamW trains, not Muon."""


def perceptual_distance(
    critic: CLIP,
    generated: Float[Tensor, "images rgb rows columns"],
    true: Float[Tensor, "images rgb rows columns"],
) -> Tensor:
    """Cosine distance of a CLIP's embeddings of the images plus that of its cells: 0 to 4.

    The critic must return the embeddings of its cells too (`output_tokens`).
    """
    with torch.no_grad():
        target = critic.visual(true)
    distances = (
        1 - nn.functional.cosine_similarity(x.float(), y.float(), dim=-1).mean()
        for x, y in zip(critic.visual(generated), target, strict=True)
    )
    return sum(distances, torch.zeros(()))


class CellDropout(nn.Module):
    """Drops all cells of an image but `kept_cells`, as FLIP does; None: it drops none.

    With half of the cells a step takes nearly half of the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept_cells: Int[Tensor, "images cells"] | None = None

    def forward(
        self, tokens: Float[Tensor, "images tokens width"]
    ) -> Float[Tensor, "images tokens width"]:
        if self.kept_cells is None:
            return tokens
        index = self.kept_cells[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, index)], 1)


class ClipTask:
    """Contrastive training of a CLIP, with four kinds of texts for every image.

    - The captions of its batch.
    - Captions of the batch with one fact changed, which teach presence.
    - Captions of one fact, so that a rare noun meets more than the few images of its batch.
    - For each cell of the image, these captions again: the drawing that covers the cell is right.

    From the share `late_from` of the steps on, most scenes have a style, since nouns under a style
    are the slowest to learn. Half of the cells are dropped until the last fifth of the training.

    References:
        Li et al. Scaling Language-Image Pre-training via Masking. 2022.
        https://arxiv.org/abs/2212.00794
    """

    def __init__(
        self,
        network: CLIP,
        recipe: Recipe,
        device: torch.device,
        *,
        late_from: float = 1 / 3,
        compiled: bool,
    ) -> None:
        self.network = network.to(device)
        self.network.visual.output_tokens = True
        self.network.visual.patch_dropout = self.cell_dropout = CellDropout()
        self.recipe, self.device, self.late_from = recipe, device, late_from
        self.facts = [
            (kind, value)
            for kind, values in {"noun": nouns(), **SHIPPED.values}.items()
            for value in values
        ]
        self.fact_index = {fact: k for k, fact in enumerate(self.facts)}
        texts = [
            scenes.caption({kind: text})
            for kind, value in self.facts
            for text in (value, *SHIPPED.synonyms(kind, value))
        ]
        self.fact_length = int((clip.tokenise(texts) > 0).sum(1).max())
        if compiled:
            self.network.visual.transformer.compile()
            self.network.transformer.compile()

    def loss(self, step: int) -> Tensor:
        early = step < self.late_from * self.recipe.steps
        probabilities = PROBABILITIES if early else CLIP_LATE_PROBABILITIES
        batch = sample_batch(self.recipe.seed, step, self.recipe.batch, probabilities)
        rng = np.random.default_rng((self.recipe.seed, step, 1))
        mentioned = [_mentioned_facts(scene, rng) for scene in batch.scenes]
        captions = [
            scenes.caption(with_synonyms(facts, rng), sample_wordings(rng)) for facts in mentioned
        ]
        changed = [
            scenes.caption(with_synonyms(_altered_facts(facts, scene.facts(), rng), rng))
            for facts, scene in zip(mentioned, batch.scenes, strict=True)
        ]
        pixels = clip.blur_and_noise(
            batch.pixels, torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        )
        candidates = torch.from_numpy(rng.permutation(len(self.facts))[: len(self.facts) // 2])
        covered = self._cell_facts(batch)
        whole = step >= 0.8 * self.recipe.steps
        kept = torch.from_numpy(rng.random(covered.shape)).argsort(1)[:, : covered.shape[1] // 2]
        self.cell_dropout.kept_cells = None if whole else kept.to(self.device)
        facts = [with_synonyms(dict([self.facts[k]]), rng) for k in candidates.tolist()]
        fact_tokens = clip.tokenise([scenes.caption(fact) for fact in facts])
        fact_tokens = fact_tokens[:, : self.fact_length].to(self.device)
        with device.autocast_bfloat16(str(self.device)):
            pooled, cells = self.network.visual(pixels.to(self.device))
            tokens = clip.tokenise(captions + changed).to(self.device)
            texts = clip.encode_text(self.network, tokens).float()
            single = clip.encode_text(self.network, fact_tokens).float()
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
        """Cross entropy of each scene's facts among the candidates of their kind.

        Facts that are not among the candidates do not count.
        """
        total = logits.new_zeros(())
        for kind in ("noun", *SHIPPED.values):
            of_kind = torch.tensor([self.facts[k][0] == kind for k in candidates.tolist()])
            values = [scene.facts().get(kind, "") for scene in batch.scenes]
            facts = torch.tensor([self.fact_index.get((kind, value), -1) for value in values])
            answers = self._candidate_indices(facts, candidates[of_kind])
            if (answers >= 0).any():
                asked = (answers >= 0).to(self.device)
                part = nn.functional.cross_entropy(
                    logits[asked][:, of_kind.to(self.device)],
                    answers[answers >= 0].to(self.device),
                    reduction="sum",
                )
                total = total + 2 * part / len(logits)
        return total

    def _candidate_indices(
        self, facts: Int[Tensor, "..."], candidates: Int[Tensor, " candidates"]
    ) -> Int[Tensor, "..."]:
        """Indices of facts among the candidates; -1 for facts that are not candidates."""
        index = torch.full((len(self.facts) + 1,), -1)
        index[candidates] = torch.arange(len(candidates))
        return index[facts]

    def _cell_facts(self, batch: SceneBatch) -> Int[Tensor, "images cells"]:
        """The fact that is drawn in each 8 x 8 cell; -1 for an empty cell."""
        cells = torch.full((len(batch.scenes), 8, 8), -1)
        for k, (scene, latent) in enumerate(zip(batch.scenes, batch.latents.numpy(), strict=True)):
            for placed in scenes.layout(scene.companion is not None, scenes.choices(latent)):
                rows, columns = (
                    slice(start // 8, (start + placed.size) // 8)
                    for start in (placed.top, placed.left)
                )
                cells[k, rows, columns] = self.fact_index[placed.kind, scene.facts()[placed.kind]]
        return cells.flatten(1)


def _mentioned_facts(scene: scenes.Scene, rng: np.random.Generator) -> dict[str, str]:
    """The facts of a scene in its caption: one in three captions leaves out some."""
    facts = scene.facts()
    if rng.random() < 0.33:
        facts = {kind: value for kind, value in facts.items() if rng.random() < 0.5} or facts
    return facts


def _altered_facts(
    mentioned: dict[str, str], true: dict[str, str], rng: np.random.Generator
) -> dict[str, str]:
    """The mentioned facts with one left out, or with one that is not true."""
    kind = str(rng.choice([*mentioned, *SHIPPED.values]))
    if kind in mentioned and kind != "noun" and rng.random() < 0.5:
        return {other: value for other, value in mentioned.items() if other != kind} or {
            "noun": true["noun"]
        }
    values = nouns() if kind == "noun" else SHIPPED.values[kind]
    while (value := values[int(rng.integers(len(values)))]) == true.get(kind):
        pass
    return mentioned | {kind: value}


@contextmanager
def unfused_attention() -> Iterator[None]:
    """While inside, attention is matrix products and a softmax.

    PyTorch's fused kernel takes three times as long to train through on a CPU. open_clip calls it
    by its name in `torch.nn.functional`, and has no argument for another one.
    """

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

    fused = nn.functional.scaled_dot_product_attention
    nn.functional.scaled_dot_product_attention = attend  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = fused


FINISH_RECIPE = Recipe(
    steps=1500, batch=64, seed=4, rate=2e-4, embedding_rate=2e-3, matrix_rate=2e-3, cooldown=1.0
)
"""The last steps of the generator, with CLIP `a` as critic."""
RECIPES = {
    "clip-a": Recipe(
        steps=800, batch=256, seed=2, embedding_rate=2e-3, matrix_rate=2e-2, cooldown=0.3
    ),
    "generator": Recipe(steps=10000, batch=64, seed=1, embedding_rate=1e-2, cooldown=0.5),
    "clip-b": Recipe(
        steps=5000, batch=256, seed=3, embedding_rate=2e-3, matrix_rate=2e-2, cooldown=0.3
    ),
}


CONTINUED_FINISH_RECIPE = replace(FINISH_RECIPE, steps=1000)
CONTINUED_RECIPES = {
    "clip-a": replace(RECIPES["clip-a"], steps=1200, seed=5, cooldown=0.5),
    "generator": replace(RECIPES["generator"], steps=3500, seed=6, rate=5e-4, matrix_rate=7e-3),
    "clip-b": replace(RECIPES["clip-b"], steps=1200, seed=7, cooldown=0.5),
}
"""Recipes that continue from trained weights of another world (`--start`)."""


def untrained_clip(name: str) -> CLIP:
    """A CLIP with random weights, except for the embeddings of `initial_word_vectors`."""
    network = clip.build(name)
    with torch.no_grad():
        embedding = network.token_embedding
        tokens, vectors = initial_word_vectors(embedding.embedding_dim, parts=1)
        embedding.weight[tokens] = 0.1 * vectors
    return network


def untrained_generator() -> Generator:
    """A generator with random weights, except for the embeddings of `initial_word_vectors`."""
    network = Generator()
    with torch.no_grad():
        tokens, vectors = initial_word_vectors(WIDTH, parts=PARTS)
        network.looks.weight[tokens] = vectors
    return network


def train_generator(
    recipe: Recipe,
    finish: Recipe,
    device: torch.device,
    checkpoints: Path,
    out: Path,
    *,
    start: Path | None = None,
    compiled: bool,
) -> None:
    """Train the generator on pixels, then with CLIP `a`, whose weights are in `out`, as critic.

    It starts from nothing, or from the weights in `start`, and then with the later mix of scenes.
    """
    critic = clip.build("clip-a")
    restore(critic, "clip-a", out)
    network = untrained_generator()
    before = start_from(network, "generator", start) if start else None
    if compiled:
        network.transformer.compile()
    task = GeneratorTask(network, recipe, device, late_from=0.0 if start else 0.5)
    drawing = Trainer(task, recipe, checkpoints / "generator")
    drawing.run()
    drawing.use_average()
    task = GeneratorTask(network, finish, device, critic=critic)
    finishing = Trainer(task, finish, checkpoints / "generator-finish")
    finishing.run()
    drawn = {**drawing.record, "after": before} if before else drawing.record
    finishing.export(out / "generator.safetensors", after=drawn)


def train_hypertransport(
    device: str, checkpoints: Path, out: Path | None, steps: int | None
) -> None:
    """Train HyperTransport on the train concepts by its card, and write it to `out`.

    None: to where the card's trained weights are shipped.
    """
    card = baseline.load_card("hypertransport")
    method: Method = baseline.load_method(card.with_settings({"steps": steps}) if steps else card)
    model: Model = registry.load("models", "emoji")(device)
    steering = method.train(
        model, concept.load("emoji").splits["train"], seed=0, folder=checkpoints
    )
    shipped = card.artifacts["emoji"]
    steering.save(out / shipped.name if out else shipped)


def main() -> None:
    """Run one stage; an error is two lines on stderr and an exit code, as in `htbench`."""
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
        help="where the finished weights go and those of clip-a are; "
        "not given: where they are shipped",
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FOLDER",
        help="continue from the weights and the vocabulary in it, of another world; "
        "not for hypertransport",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network, unless it is hypertransport's: "
        "a minute to start, a quarter faster",
    )
    options = parser.parse_args()
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps {options.steps}: at least 1")
    if options.start and options.stage == "hypertransport":
        parser.error("--start: hypertransport is always trained from nothing")
    try:
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
        _train(
            options.stage,
            device.choose(options.device),
            options.checkpoints,
            options.out,
            options.steps,
            start=options.start,
            compiled=options.compile,
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
    start: Path | None,
    compiled: bool,
) -> None:
    if stage == "hypertransport":
        train_hypertransport(device_name, checkpoints / stage, out, steps)
        return
    recipe = (CONTINUED_RECIPES if start else RECIPES)[stage]
    finish = CONTINUED_FINISH_RECIPE if start else FINISH_RECIPE
    if steps:
        recipe, finish = replace(recipe, steps=steps), replace(finish, steps=steps)
    words = "".join(f"{word}\n" for word in SHIPPED.vocabulary()).encode()
    target, torch_device = out or WEIGHTS_FOLDER, torch.device(device_name)
    # The digest of weights is taken together with the vocabulary beside them.
    for path in {folder / "vocabulary.txt" for folder in (WEIGHTS_FOLDER, target)}:
        if not (path.is_file() and path.read_bytes() == words):
            path.write_bytes(words)
    torch.manual_seed(recipe.seed)
    if stage == "generator":
        train_generator(
            recipe, finish, torch_device, checkpoints, target, start=start, compiled=compiled
        )
        return
    network = untrained_clip(stage)
    before = start_from(network, stage, start) if start else None
    with unfused_attention() if device_name == "cpu" else nullcontext():
        late_from = 0.0 if start else 1 / 3
        task = ClipTask(network, recipe, torch_device, late_from=late_from, compiled=compiled)
        trainer = Trainer(task, recipe, checkpoints / stage)
        trainer.run()
        trainer.export(target / f"{stage}.safetensors", after=before)


if __name__ == "__main__":
    main()
