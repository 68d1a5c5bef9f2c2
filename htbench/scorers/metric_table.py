"""The leaderboard's scores: names, titles and definitions; the functions are in `metrics.py`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of one image, made of an encoder's embeddings; higher is better in each."""

    name: str
    """Name in stores and files."""
    title: str
    """Name in tables and reports."""
    definition: str
    """For readers of a report; `{scale}` stands for the encoder's logit scale, if it is known."""
    worst: float
    """Lowest value that the score can take: that of a cell whose image could not be made, so that
    no mean rises by a failure."""
    best: float
    """Highest value that the score can take."""


METRIC_TABLE = (
    Metric(
        name="concept_gain",
        title="Concept gain",
        definition="how much nearer an image came to the concept’s words than the unsteered image "
        "of the same prompt and seed, as a difference of cosines",
        worst=-2.0,
        best=2.0,
    ),
    Metric(
        name="presence",
        title="Presence",
        definition="the probability, with the scorer’s own scale{scale}, that an image is "
        "described by the concept’s words and not by neutral ones",
        worst=0.0,
        best=1.0,
    ),
    Metric(
        name="class_probability",
        title="Class probability",
        definition="how surely the scorer recognises this concept among all others of its kind: "
        "its zero-shot probability, with the scorer’s own scale",
        worst=0.0,
        best=1.0,
    ),
    Metric(
        name="prompt_preservation",
        title="Prompt preservation",
        definition="the cosine of an image and its original prompt",
        worst=-1.0,
        best=1.0,
    ),
    Metric(
        name="image_preservation",
        title="Image preservation",
        definition="the cosine of an image and the unsteered one of the same prompt and seed; 1 "
        "where nothing changed",
        worst=-1.0,
        best=1.0,
    ),
)
"""In the order of the leaderboard's columns."""

PAIRED = ("concept_gain", "image_preservation")
"""Scores that compare an image with the unsteered one; undefined where there is none."""
RANGES = {metric.name: (metric.worst, metric.best) for metric in METRIC_TABLE}
"""Lowest and highest value of each score."""
