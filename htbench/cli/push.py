"""`htbench push`: a bundle or a trained file into a repository of a model hub."""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Endpoint, Json
from htbench.core import reading
from htbench.hub.repository import Repository


def push(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Bundle of htbench pack, trained file of htbench train, or intervention of "
            "RUN/maps.",
        ),
    ],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME",
            help="Repository; it is made if there is none, of a data set for a bundle, of a model "
            "for a trained file.",
        ),
    ],
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="Let everybody see the repository; without it only you and its owner."
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace files of the same names; they stay in the history."
        ),
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="Licence for the page, such as apache-2.0 or cc-by-4.0.",
            show_default="unknown",
        ),
    ] = None,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """Publish a bundle or a trained file, with a page that says what its record says. The same
    bytes are not sent twice. The token is read from HF_TOKEN or `hf auth login`.
    """
    from rich.console import Console

    from htbench.core.display import print_json
    from htbench.hub import connection, contents, readme, upload

    named = Repository.parse(repository)
    reading.find_file(file, noun="file")
    options = upload.PushOptions(
        public=public,
        replace=replace,
        licence=readme.check_licence(licence) if licence is not None else readme.UNKNOWN,
    )
    hub = connection.connect(endpoint, needs_token=True)
    with Console(stderr=True).status(f"push {file.name}"):
        content = contents.with_companion(contents.read(file))
        pushed = upload.push(content, named, hub, options)
    if as_json:
        print_json(
            repository=pushed.address,
            commit=pushed.commit,
            private=pushed.private,
            uploaded=pushed.uploaded,
            unchanged=pushed.unchanged,
            kept=pushed.kept,
            digest=content.digest,
        )
        return
    for names, words in (
        (pushed.uploaded, "Written"),
        (pushed.unchanged, "There already"),
        (pushed.kept, "Kept as it is there"),
    ):
        if names:
            typer.echo(f"{words}: {', '.join(names)}")
    seen = "only you and its owner see it" if pushed.private else "everybody sees it"
    typer.echo(f"Repository: {pushed.address} ({seen})")
    typer.echo(f"Commit: {pushed.commit}")
    if public and pushed.private:
        typer.echo(
            "htbench: the repository was private before, and stays so; its settings on the hub "
            "change that",
            err=True,
        )
    typer.echo(f"Get it: htbench pull {named.id}@{pushed.commit[:12]}")
