"""`htbench board`: leaderboards of many bundles as a folder of static pages."""

import os
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import OUTPUT, Json
from htbench.core.errors import Incomplete


def board(
    bundles: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder of files that htbench pack wrote.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="New folder for the pages, or an earlier board, which is replaced.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("site"),
    signers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Public keys that may sign: lines of a name and a key. A signature by none of "
            "them counts as none.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write leaderboards of many bundles as static pages, the same bytes each time. Exit code 3 if
    a file was left out.
    """
    from htbench.board import site
    from htbench.core.display import Display, print_json

    display = Display(as_json=as_json)
    with display.showing():
        built = site.build(bundles, out, signers=signers, display=display)
    for problem in built.problems:
        display.announce(f"left out: {problem.file}: {problem.reason}")
        display.event("left out", file=problem.file, reason=problem.reason)
    if as_json:
        print_json(
            event="board",
            page=str(built.page),
            bundles=built.bundles,
            leaderboards=built.boards,
            methods=built.methods,
            concepts=built.concepts,
            files=built.files,
        )
    else:
        counts = {
            "bundle": built.bundles,
            "leaderboard": built.boards,
            "method": built.methods,
            "concept": built.concepts,
            "file": built.files,
        }
        parts = (f"{number:,} {noun}{'s' * (number != 1)}" for noun, number in counts.items())
        typer.echo(f"Board: {os.path.relpath(built.page)} ({', '.join(parts)})")
    if number := len(built.problems):
        raise Incomplete(
            f"{number} problem{'s' * (number > 1)} with files of {str(bundles)[:300]!r}: the board "
            "is built without what they are about",
            remedy="The lines above name them; take those files away, or get them anew.",
        )
