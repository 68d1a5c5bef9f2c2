"""The command line: one module per command or group of commands, registered here."""

from collections.abc import Callable
from typing import Annotated

import typer

from htbench.cli import (
    board,
    check,
    diff,
    doctor,
    export,
    fetch,
    import_pictures,
    judge,
    listing,
    maps,
    pack,
    play,
    power,
    pull,
    push,
    report,
    run,
    score,
    show,
    steer,
    study,
    time,
    train,
    verify,
)
from htbench.cli.help import HelpCommand, HelpGroup

_START, _EVIDENCE, _EXTEND, _DATA = "Start", "Evidence", "Extend", "Data"


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from importlib import metadata

        typer.echo(f"htbench {metadata.version('htbench')}")
        raise typer.Exit


app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Benchmark activation steering of text-to-image models: how good, and how much cheaper, "
    "is amortised steering?",
    epilog="""
htbench run quickstart --open
htbench steer --concept "woodcut style, orange bars background" --prompt panda
htbench list
""",
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


def _add(command: Callable[..., None], name: str, panel: str, examples: str) -> None:
    """Add a command to a panel of the help page, with examples, one a line."""
    cls = run.RunCommand if command is run.run else HelpCommand
    app.command(name, cls=cls, rich_help_panel=panel, epilog=examples)(command)


_add(
    run.run,
    "run",
    _START,
    """
htbench run quickstart
htbench run --model emoji --method prompt --method lineas --limit 12 --strength 0,0.5,1
htbench run quickstart --dry-run
htbench run --against quickstart.bundle.zip --method ./mine.toml
""",
)
_add(
    report.report,
    "report",
    _START,
    """
htbench report quickstart --open
htbench report quickstart --wide
htbench report first second --out both
""",
)
_add(
    steer.steer,
    "steer",
    _START,
    """
htbench steer --concept "woodcut style, orange bars background" --prompt panda
htbench steer --method lineas --concept "sepia style" --strength 0,0.5,1,1.5
htbench steer --concept "sepia style" --concept "orange bars background" --strength 1,0.5
htbench steer --replace "sepia style=woodcut style" --prompt "panda, sepia style"
""",
)
_add(
    play.play,
    "play",
    _START,
    """
htbench play --open
htbench play --method hypertransport --method ./mine.toml
htbench play --export demo
""",
)
_add(
    listing.list_,
    "list",
    _START,
    """
htbench list
htbench list methods
htbench list concepts --concept-set emoji
""",
)
_add(
    judge.judge,
    "judge",
    _EVIDENCE,
    """
htbench judge quickstart
htbench judge quickstart --judge openai --pairs 500 --dry-run
""",
)
app.add_typer(study.app, name="study", rich_help_panel=_EVIDENCE)
_add(
    time.time,
    "time",
    _EVIDENCE,
    """
htbench time --model emoji --minutes 5
htbench time --method lineas --method hypertransport --name quickstart
htbench time paper-scale --weights tiny
""",
)
_add(
    power.power,
    "power",
    _EVIDENCE,
    """
htbench power --preference 0.667
htbench power quickstart
""",
)
_add(
    train.train,
    "train",
    _EXTEND,
    """
htbench train hypertransport --set steps=2000
htbench train hypertransport --concept-set ./mine.csv --out mine.safetensors
""",
)
app.add_typer(check.app, name="check", rich_help_panel=_EXTEND)
app.add_typer(maps.app, name="maps", rich_help_panel=_EXTEND)
_add(
    show.show,
    "show",
    _EXTEND,
    """
htbench show method lineas
htbench show model dmd2 --needs
""",
)
_add(
    score.score,
    "score",
    _DATA,
    """
htbench score quickstart --scorer emoji-clip-a
htbench score quickstart --scorer ./mine.toml
""",
)
_add(
    import_pictures.import_pictures,
    "import",
    _DATA,
    """
htbench import pictures.csv --scorer emoji-clip-b
htbench import ./samples --pattern '{method}/{concept}/{prompt}-{seed}-{strength}.png'
htbench import ./samples --pattern 'step-{step}/{prompt}-{seed}.png' --set method=mine --watch
""",
)
_add(diff.diff, "diff", _DATA, "htbench diff quickstart other")
_add(
    export.export,
    "export",
    _DATA,
    """
htbench export quickstart --to csv
htbench export quickstart --to figures --out figures
""",
)
_add(
    pack.pack,
    "pack",
    _DATA,
    """
htbench pack quickstart
htbench pack quickstart --out mine.zip --sign ~/.ssh/id_ed25519
""",
)
_add(pack.unpack, "unpack", _DATA, "htbench unpack quickstart.bundle.zip --name theirs")
_add(
    verify.verify,
    "verify",
    _EVIDENCE,
    """
htbench verify quickstart.bundle.zip
htbench verify quickstart.bundle.zip --again 50 --signers trusted.txt
""",
)
_add(
    push.push,
    "push",
    _DATA,
    """
htbench push quickstart.bundle.zip ann/quickstart
htbench push runs/train/hypertransport-emoji.safetensors ann/hypertransport --public
""",
)
_add(
    pull.pull,
    "pull",
    _DATA,
    """
htbench pull ann/quickstart
htbench pull ann/quickstart@v1 theirs.bundle.zip
""",
)
_add(
    board.board,
    "board",
    _DATA,
    """
htbench board bundles
htbench board bundles --out site --signers trusted.txt
""",
)
_add(
    fetch.fetch,
    "fetch",
    _DATA,
    """
htbench fetch --model dmd2
htbench fetch --scorer dinov2-small
""",
)
_add(doctor.doctor, "doctor", _DATA, "htbench doctor")
