"""`htbench study serve`: a study's page on a web server that keeps the answers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json
from htbench.cli.study_options import Secret, secret_file

if TYPE_CHECKING:
    from htbench.study.serve.overview import Overview

_ADDRESS = "Address"
"""Panel of the help page."""


def serve(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="Folder of the exported study.")
    ] = Path("study"),
    host: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Address of this machine to listen at; 127.0.0.1 can be opened from here alone.",
            rich_help_panel=_ADDRESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Port, which is part of every link; 0: any free one.",
            rich_help_panel=_ADDRESS,
        ),
    ] = 8643,
    url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Address that participants open, if a proxy or a tunnel leads from there to here.",
            show_default="that of --host and --port",
            rich_help_panel=_ADDRESS,
        ),
    ] = "",
    overdue: Annotated[
        float,
        typer.Option(
            min=1.0,
            max=8760.0,
            metavar="HOURS",
            help="Time without an answer or a visit after which the overview offers a spare link "
            "to the sheet of a participant who has not finished.",
        ),
    ] = 24.0,
    secret: Secret = None,
    as_json: Json = False,
) -> None:
    """Serve the page of a study, and keep each answer as it is given. Prints a link per
    participant, and the address of an overview of who began, came back and finished. Ctrl-C ends
    it; the same command continues.
    """
    from htbench.core.display import print_json
    from htbench.study.collect import sessions
    from htbench.study.serve.address import Address
    from htbench.study.serve.server import make_server

    address = Address(host=host, port=port, public_url=url)
    server = make_server(
        study, secret=secret_file(study, secret), address=address, overdue_hours=overdue
    )
    files = study / sessions.FOLDER / "*.json"
    with server:
        overview = server.site.overview(server.base_url)
        researcher = f"{server.base_url}{server.site.links.researcher}"
        common = f"{server.base_url}{server.site.links.common}?PROLIFIC_PID="
        if as_json:
            _print_participants(overview)
            print_json(event="serving", overview=researcher, common=common, answers=str(files))
        else:
            overview.table().print()
            typer.echo(
                f"{overview.sentence}\n"
                f"Or one link for all, with each person's id at its end: {common}\n"
                f"Answers are kept in {files}; htbench study import reads them.\n"
                f"Overview, for you alone: {researcher} (Ctrl-C ends)"
            )
        if not (address.is_loopback or url):
            typer.echo(
                f"Whoever is between {host} and a participant can read the answers: a proxy with "
                "https in front, named by --url, prevents it.",
                err=True,
            )
        sys.stdout.flush()
        server.serve_forever()


def _print_participants(overview: "Overview") -> None:
    from dataclasses import asdict

    from htbench.core.display import print_json

    for each in overview.participants:
        print_json(event="participant", **asdict(each), state=each.state)
