"""First embeddings of the words of nouns, from their drawings."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from htbench.models.emoji import vocabulary
from htbench.models.emoji.icons import noun_drawings, nouns


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
