"""Small pictures beside numbers: the same prompt and concepts for every method.

The concepts are chosen by their concept gain, averaged over methods, so that nobody picks the ones
that look best. The page's script puts the pictures in, from the data of the gallery.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from htbench.core.types import UNSTEERED
from htbench.report.gallery.grid import GalleryData
from htbench.run.summary import LeaderboardRow, Summary

_ROW_SHARES = (0.125, 0.375, 0.625, 0.875)
"""Places of the concepts of a row, from the highest gain to the lowest."""


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """One picture by its place in the gallery's data."""

    prompt: int
    concept: int
    column: int
    method: str
    """`none` for the unsteered picture."""
    text: str
    """Words of the concept."""


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """The pictures of the headline and of the rows of the leaderboard."""

    prompt: str
    concept: str
    """Words of the concept of the headline."""
    headline: list[Thumbnail]
    """The unsteered picture, then every method of the leaderboard."""
    rows: dict[str, list[Thumbnail]]
    """Pictures of each method, over the same concepts."""


def collect(summary: Summary, gallery: GalleryData) -> Thumbnails | None:
    """The pictures at the first prompt of the run; None where nothing is scored."""
    by_gain = _concepts_by_gain(summary, gallery)
    if not by_gain:
        return None
    middle = by_gain[(len(by_gain) - 1) // 2]
    spread = dict.fromkeys(by_gain[math.floor(share * len(by_gain))] for share in _ROW_SHARES)
    rows = [row for row in summary.leaderboard if row.method != UNSTEERED]
    unsteered = (
        [_thumbnail(gallery, middle, gallery.unsteered, UNSTEERED)]
        if gallery.unsteered >= 0
        else []
    )
    return Thumbnails(
        prompt=gallery.prompts[0].text,
        concept=gallery.concepts[middle].text,
        headline=[*(unsteered if gallery.unsteered >= 0 else ()), *_of_rows(gallery, rows, middle)],
        rows={
            row.method: [
                picture for concept in spread for picture in _of_rows(gallery, [row], concept)
            ]
            for row in rows
        },
    )


def _concepts_by_gain(summary: Summary, gallery: GalleryData) -> list[int]:
    """Numbers of the concepts that every ranked method has a gain on, the highest gain first."""
    gains = [
        summary.means(row.method, row.strength)
        for row in summary.leaderboard
        if row.method != UNSTEERED and row.headline and not row.unranked
    ]
    totals = {
        k: math.fsum(means[concept.id] for means in gains)
        for k, concept in enumerate(gallery.concepts)
        if gains and all(concept.id in means for means in gains)
    }
    return sorted(totals, key=lambda k: -totals[k])


def _of_rows(gallery: GalleryData, rows: Sequence[LeaderboardRow], concept: int) -> list[Thumbnail]:
    columns = {
        (gallery.methods[method], strength): k
        for k, (method, strength) in enumerate(gallery.columns)
    }
    return [
        _thumbnail(gallery, concept, columns[row.method, row.strength], row.method)
        for row in rows
        if (row.method, row.strength) in columns
    ]


def _thumbnail(gallery: GalleryData, concept: int, column: int, method: str) -> Thumbnail:
    return Thumbnail(
        prompt=0,
        concept=concept,
        column=column,
        method=method,
        text=gallery.concepts[concept].text,
    )
