"""`htbench pull`: a bundle or a trained file from a repository of a model hub."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Endpoint, Json
from htbench.hub.repository import Repository


def pull(
    repository: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME[@REVISION]",
            help="Repository, with a branch, tag or commit where it is not the newest.",
        ),
    ],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="New file to write, or the folder for it.",
            show_default="the file's own name, here",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="File of the repository, where it has several.",
            show_default="the only one",
        ),
    ] = None,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """Get a bundle or a trained file, and check its digests. An interrupted pull continues by the
    same command; no file is overwritten, and nothing of it is executed.
    """
    from rich.console import Console

    from htbench.core.display import print_json
    from htbench.hub import connection, download

    named = Repository.parse(repository)
    hub = connection.connect(endpoint, needs_token=False)
    with Console(stderr=True).status(f"pull {named}"):
        choice = download.choose(named, hub, file)
        folder = path or Path()
        target = folder / choice.file.path if folder.is_dir() else folder
        pulled = download.pull(choice, target, hub)
    content = pulled.content
    if as_json:
        print_json(
            file=str(target),
            kind=content.kind,
            repository=named.id,
            commit=pulled.commit,
            sha256=pulled.sha256,
            digest=content.digest,
            downloaded=not pulled.was_there,
        )
        return
    title = {"bundle": "Bundle", "steering": "Trained method", "intervention": "Intervention"}
    state = "there already" if pulled.was_there else "its digests hold"
    typer.echo(f"{title[content.kind]}: {target} ({target.stat().st_size:,} bytes, {state})")
    typer.echo(f"SHA-256: {pulled.sha256}")
    typer.echo(f"Commit: {pulled.commit}")
    if content.kind == "bundle":
        typer.echo(f"Verify it: htbench verify {shlex.quote(str(target))}")
    elif choice.companion and content.kind == "steering":
        card = target.with_suffix(".toml")
        typer.echo(
            f"Use it: htbench run {shlex.join(['--model', content.model, '--method', str(card)])}"
        )
