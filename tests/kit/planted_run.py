"""A made-up run with planted gain and image preservation at every strength."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from htbench.run.store import Store
from kit import report_run


def planted(
    folder: Path,
    curves: Mapping[str, Mapping[float, tuple[float, float]]],
    strengths: Sequence[float] = (0.0, 0.5, 1.0, 2.0),
) -> Path:
    """A run whose methods have these gains and image preservations, by strength.

    It has 12 concepts, whose gains differ by as much for every method.
    """
    report_run.build(
        folder,
        methods=("none", *curves),
        prompts=report_run.PROMPTS[:1],
        strengths=strengths,
        size=8,
    )
    with Store.open(folder) as store:
        concepts = sorted({row.concept for row in store.rows()})
        for row in store.rows():
            gain, kept = curves.get(row.method, {}).get(row.strength, (0.0, 1.0))
            ease = 0.02 * row.strength * (concepts.index(row.concept) - 5.5)
            values = {"concept_gain": gain + ease, "image_preservation": kept}
            store.add_scores((row.id, name, "emoji-clip-b@1", v) for name, v in values.items())
    return folder
