"""The training of the embedded CLIPs: their loss, and their weights before the first step."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from open_clip import CLIP
from torch import Tensor, nn

from htbench.core import device
from htbench.models.emoji import clip, scenes
from htbench.models.emoji.icons import nouns
from htbench.models.emoji.initial_words import initial_word_vectors
from htbench.models.emoji.sampling import (
    CLIP_LATE_PROBABILITIES,
    PROBABILITIES,
    SceneBatch,
    sample_batch,
    sample_wordings,
    with_synonyms,
)
from htbench.models.emoji.worlds import SHIPPED
from htbench.steering.fitting.trainer import Recipe


def untrained_clip(name: str) -> CLIP:
    """A CLIP with random weights, except for the embeddings of `initial_word_vectors`."""
    network = clip.build(name)
    with torch.no_grad():
        embedding = network.token_embedding
        tokens, vectors = initial_word_vectors(embedding.embedding_dim, parts=1)
        embedding.weight[tokens] = 0.1 * vectors
    return network


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
