"""The leaderboard's scores as functions of embeddings; `metric_table.py` has names and titles."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Vectors = Float[Tensor, "images features"]
"""Embeddings of length 1."""
Values = Float[Tensor, " images"]


def concept_gain(image: Vectors, unsteered: Vectors, concept: Vectors) -> Values:
    """Rise of the cosine to the concept's text over that of the unsteered image.

    The unsteered image has the same prompt and seed; -2 to 2, 0 for no change.
    """
    return ((image - unsteered) * concept).sum(-1)


def presence(image: Vectors, target: Vectors, prompt: Vectors, *, scale: float) -> Values:
    """Zero-shot probability that the target describes the image rather than the prompt; 0 to 1.

    `target` is the prompt with the concept. `scale` is the encoder's logit scale: without it, the
    softmax stays close to 0.5.
    """
    return (scale * (image * (target - prompt)).sum(-1)).sigmoid()


def class_probability(
    image: Vectors,
    class_texts: Float[Tensor, "rivals features"],
    class_rows: Int[Tensor, " images"],
    *,
    scale: float,
) -> Values:
    """Zero-shot probability of an image's own concept among the concepts of its class; 0 to 1.

    The own concept is row `class_rows` of `class_texts`, and `scale` is the encoder's logit scale.
    Presence asks whether something was added, this score whether it is the right thing: a lime in
    place of a lemon is present, but of the wrong class.
    """
    # one by one, since the rounding of a matrix product depends on the number of images
    cosines = torch.stack([class_texts @ vector for vector in image])
    return (scale * cosines).softmax(-1).gather(-1, class_rows[:, None])[:, 0]


def prompt_preservation(image: Vectors, prompt: Vectors) -> Values:
    """Cosine of the image and the original prompt; -1 to 1."""
    return (image * prompt).sum(-1)


def image_preservation(image: Vectors, unsteered: Vectors) -> Values:
    """Cosine of the image and the unsteered image of the same prompt and seed; -1 to 1.

    1 for the same image.
    """
    return (image * unsteered).sum(-1)
