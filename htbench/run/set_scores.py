"""The scoring stage of scorers of sets: each method at each strength against unsteered pictures.

Pictures are embedded by the encoder of the headline, one method and strength at a time, so that the
memory that it takes does not grow with the run; embeddings that the run keeps are read. What was
scored is kept after each, and is scored again only once its pictures are others.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from htbench.core import content
from htbench.core.errors import Missing, UsageError
from htbench.run import cell_sets, cell_table
from htbench.run.cell_sets import CellSet, RowKey
from htbench.run.cell_table import CellTable
from htbench.run.context import RemoteEncoder, RunContext, chunks
from htbench.run.embeddings import Embeddings as KeptEmbeddings
from htbench.run.embeddings import Vectors
from htbench.run.fact_table import Facts
from htbench.run.store import Store, image_file
from htbench.run.summary import MAX_MISSING
from htbench.run.workers.messages import Embeddings, EmbedImages, run_all
from htbench.scorers.set_scorer import PictureSet, SetScorer, UndefinedScore
from htbench.stats import estimates

_BATCH_SIZE = 64


def score(context: RunContext, encoder: RemoteEncoder) -> dict[str, int]:
    """Score every set that has no score of its present pictures yet.

    Returns the number of sets that were scored, by scorer.
    """
    scored = {scorer.card.name: 0 for scorer in context.set_scorers}
    if not context.set_scorers:
        return scored
    facts, table = Facts.read(context.store), cell_table.read(context.store)
    sets = cell_sets.read(table, facts)
    stored = {set_scorer_id(scorer, encoder.id): scorer for scorer in context.set_scorers}
    rows = {
        id_: {key: row.stored for key, row in cell_sets.scored_rows(facts, id_, sets).items()}
        for id_ in stored
    }
    todo = [key for key in sets if any(key not in own for own in rows.values())]
    stage = context.display.progress("score sets of pictures", len(todo))
    kept = [each.stored for each in facts.set_scores if each.name not in scored]
    unsteered: Vectors = {}
    for key in todo:
        pictures = _picture_set(context, encoder, table, sets[key].cells, unsteered)
        for id_, scorer in stored.items():
            if key not in rows[id_]:
                rows[id_][key] = _row(scorer, key, sets[key], pictures, table, facts)
                scored[scorer.card.name] += 1
        written = [_facts(stored[id_], id_, encoder.id, own, sets) for id_, own in rows.items()]
        context.store.set_facts(set_scores=[*kept, *written])
        stage.advance()
    return scored


def set_scorer_id(scorer: SetScorer, encoder: str) -> str:
    """Name and revision under which the scores of sets are stored."""
    card = scorer.card
    return f"{card.name}@{content.digest([card.name, card.version, encoder])}"


def _facts(
    scorer: SetScorer,
    id_: str,
    encoder: str,
    rows: Mapping[RowKey, Mapping[str, object]],
    sets: Mapping[RowKey, CellSet],
) -> dict[str, object]:
    card = scorer.card
    return {
        "id": id_,
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "better": card.better,
        "encoder": encoder,
        "paper": card.paper,
        "rows": [dict(rows[key]) for key in sets if key in rows],
    }


def _row(
    scorer: SetScorer,
    key: RowKey,
    chosen: CellSet,
    pictures: PictureSet | str,
    table: CellTable,
    facts: Facts,
) -> dict[str, object]:
    """The score of a set as it is stored, or the reason why it has none."""
    row: dict[str, object] = {
        "method": key[0],
        "strength": key[1],
        "digest": chosen.digest,
        "pictures": len(chosen.cells),
        "planned": chosen.planned,
    }
    missing = chosen.planned - chosen.usable
    if missing > MAX_MISSING * chosen.planned:
        lacking = "lack their picture or its unsteered one"
        return {**row, "reason": f"{missing:,} of {chosen.planned:,} cells {lacking}"}
    if isinstance(pictures, str):
        return {**row, "reason": pictures, "digest": ""}  # the next run tries again
    try:
        found = scorer.measure(pictures)
    except UndefinedScore as reason:
        return {**row, "reason": str(reason)}
    concepts, _ = table.concept.take(chosen.cells)
    values = {
        concept: [float(value)]
        for concept, value in zip(concepts, found.by_concept, strict=True)
        if math.isfinite(value)
    }
    within = scorer.card.least, scorer.card.most
    estimate = estimates.over_concepts(values, facts.families, within=within)
    if estimate is None:
        return {**row, "reason": "no concept has a score"}
    return {
        **row,
        "value": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "concepts": estimate.n,
        "clusters": estimate.clusters,
        "floor": found.floor,
    }


def _picture_set(
    context: RunContext,
    encoder: RemoteEncoder,
    table: CellTable,
    cells: Int[np.ndarray, " cells"],
    unsteered: Vectors,
) -> PictureSet | str:
    """The embeddings of some cells, or the reason why there are none.

    Those of unsteered pictures are kept in `unsteered` for other sets.
    """
    images = table.image.numbers[cells]
    pairs, pair = np.unique(images, return_inverse=True)
    files = cell_sets.unsteered_files(table)
    plain = [files[image] for image in pairs.tolist()]
    own = [str(table.file.names[number]) for number in table.file.numbers[cells]]
    try:
        unsteered |= _embed(context, encoder, [file for file in plain if file not in unsteered])
        steered = _embed(context, encoder, [file for file in own if file not in unsteered])
    except (UsageError, Missing) as error:
        return f"a picture cannot be read: {error}"
    vectors = unsteered | steered
    if not own:
        return "no pictures"
    return PictureSet(
        steered=np.stack([vectors[file] for file in own]),
        unsteered=np.stack([vectors[file] for file in plain]),
        pair=pair,
        concept=table.concept.take(cells)[1],
        prompt=cell_sets.prompt_numbers(table)[images],
    )


def _embed(context: RunContext, encoder: RemoteEncoder, files: Sequence[str]) -> Vectors:
    """The embeddings of pictures by file; the files are read as workers get to them."""
    kept = KeptEmbeddings(context.store.folder, encoder.id)
    vectors = kept.read(dict.fromkeys(files))
    missing = [file for file in dict.fromkeys(files) if file not in vectors]
    parts: dict[int, Sequence[str]] = {}

    def tasks() -> Iterator[EmbedImages]:
        for part in chunks(missing, _BATCH_SIZE):
            pngs = tuple(_read(context.store, file) for file in part)
            task = EmbedImages(encoder=encoder.index, pngs=pngs, batch_size=_BATCH_SIZE)
            parts[id(task)] = part
            yield task

    for task, embeddings in run_all(context.pool, tasks(), Embeddings):
        rows = embeddings.images.float().cpu().numpy()
        new = dict(zip(parts.pop(id(task)), rows, strict=True))
        kept.add(new)
        vectors |= new
    return vectors


def _read(store: Store, file: str) -> bytes:
    png = store.image_bytes(file)
    if image_file(png) != file:
        raise UsageError(f"image {file} is not what was written")
    return png
