"""A view as a file: one labelled picture, an animation, or a page with a slider."""

import tempfile
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.play.engine import Engine
from htbench.play.view import FileRequest, View
from htbench.report import filmstrip_page
from htbench.steering.filmstrip import Filmstrip, FilmstripRow

_KINDS = {"png": "image/png", "gif": "image/gif", "html": "text/html"}


def make(engine: Engine, request: FileRequest) -> tuple[bytes, str]:
    """The bytes of the file, and its media type.

    Raises:
        UsageError: if there is no picture to show.
    """
    film = filmstrip(engine, request.view)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"view.{request.format}"
        if request.format == "html":
            filmstrip_page.write(film, path)
        else:
            film.save(path)
        return path.read_bytes(), _KINDS[request.format]


def filmstrip(engine: Engine, view: View) -> Filmstrip:
    """The pictures of a view, a row per method, by the strength of the concept that varies.

    Raises:
        UsageError: if there is no picture to show.
    """
    rows = [row for row in engine.rows(view) if row.images and row.method != "none"]
    if not rows or not view.concepts:
        raise UsageError("there is no steered picture to save")
    varies = next(
        (k for k in range(len(view.concepts)) if len({point[k] for point in view.points}) > 1), 0
    )
    return Filmstrip(
        title=" + ".join(source.words or "a picture" for source in view.concepts),
        note=f"{view.prompt}, seed {view.seed}, {engine.model.name}",
        strengths=tuple(point[varies] for point in view.points),
        rows=tuple(
            FilmstripRow(label=row.method, prompt=view.prompt, images=tuple(row.images))
            for row in rows
        ),
    )
