"""A filmstrip as a page of its own, with a slider for the strength and all pictures in it."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from htbench.core import content
from htbench.report import html
from htbench.report.gallery.pictures import data_uri
from htbench.steering.filmstrip import Filmstrip

_POLICY = html.ContentPolicy(images="data:", script_files=("filmstrip.js",))


def write(film: Filmstrip, path: Path) -> None:
    """Write the page to `path`; it needs no network and no other file."""
    rows = [
        {
            "label": row.label,
            "pictures": list(zip(film.columns, _addresses(row.pictures), strict=False)),
        }
        for row in film.rows
    ]
    template = html.templates({}).get_template("filmstrip.html")
    text = template.render(
        film=film,
        film_style=html.read_files("filmstrip.css"),
        rows=rows,
        references=_addresses(film.references),
        has_prompted=any(row.prompted for row in film.rows),
    )
    content.write_whole(path, html.fill_marks(text, _POLICY).encode())


def _addresses(pictures: Sequence[Image.Image]) -> list[str]:
    addresses = []
    for picture in pictures:
        buffer = BytesIO()
        picture.save(buffer, "PNG")
        addresses.append(data_uri(buffer.getvalue()))
    return addresses
