"""The command line: one module per command or group of commands, registered here."""

from typing import Annotated

import typer

from htbench.cli import (
    check,
    diff,
    doctor,
    export,
    fetch,
    judge,
    listing,
    power,
    report,
    run,
    score,
    show,
    steer,
    study,
    time,
    train,
)


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from importlib import metadata

        typer.echo(f"htbench {metadata.version('htbench')}")
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Benchmark activation steering of text-to-image models: how good, and how much cheaper, "
    "is amortised steering?",
)


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None: ...


app.command()(run.run)
app.command()(report.report)
app.command()(score.score)
app.command("list")(listing.list_)
app.command()(show.show)
app.command()(fetch.fetch)
app.command()(diff.diff)
app.command()(export.export)
app.command()(doctor.doctor)
app.command()(steer.steer)
app.command()(train.train)
app.command()(time.time)
app.command()(judge.judge)
app.command()(power.power)
app.add_typer(check.app, name="check")
app.add_typer(study.app, name="study")
