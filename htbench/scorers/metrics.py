"""Scores of one image from embeddings: pure functions, nothing else."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Vectors = Float[Tensor, "images features"]
"""Embeddings of length 1."""
Values = Float[Tensor, " images"]


def concept_gain(image: Vectors, unsteered: Vectors, concept: Vectors) -> Values:
    """By how much the cosine to the concept's text rose against the unsteered image of the same prompt and seed; -2 to 2, 0 for no change."""
    return ((image - unsteered) * concept).sum(-1)


def presence(image: Vectors, target: Vectors, prompt: Vectors, *, scale: float) -> Values:
    """Zero-shot probability, 0 to 1, that the prompt with the concept describes the image rather than the prompt alone.

    `scale` is the encoder's logit scale: without it the softmax hugs 0.5.
    """
    return (scale * (image * (target - prompt)).sum(-1)).sigmoid()


def concept_class(
    image: Vectors,
    class_texts: Float[Tensor, "rivals features"],
    class_rows: Int[Tensor, " images"],
    *,
    scale: float,
) -> Values:
    """Zero-shot probability, 0 to 1, of an image's own concept, row `class_rows` of `class_texts`, among all its rivals, with the logit scale.

    Presence asks whether something was added, identity whether it is the right thing: a lime where a lemon was wanted is present, and no lemon.
    """
    cosines = torch.stack(
        [class_texts @ one for one in image]
    )  # one by one: a product of matrices rounds otherwise for other numbers of images
    return (scale * cosines).softmax(-1).gather(-1, class_rows[:, None])[:, 0]


def prompt_preservation(image: Vectors, prompt: Vectors) -> Values:
    """Cosine of the image to the original prompt, -1 to 1."""
    return (image * prompt).sum(-1)


def image_preservation(image: Vectors, unsteered: Vectors) -> Values:
    """Cosine of the image to the unsteered image of the same prompt and seed, -1 to 1; 1 for the same image."""
    return (image * unsteered).sum(-1)
