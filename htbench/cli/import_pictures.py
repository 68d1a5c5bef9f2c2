"""`htbench import`: pictures that other programs made become a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import (
    OUTPUT,
    RUNS_DIR,
    Device,
    Json,
    Open,
    RunsDir,
    Verbose,
    Wide,
)
from htbench.cli.report import open_page, write_and_print
from htbench.core.errors import Incomplete, UsageError

if TYPE_CHECKING:
    from htbench.core.display import Display
    from htbench.importing.folders import PictureFolder
    from htbench.importing.importer import Imported, ImportSettings
    from htbench.importing.rows import RowReader
    from htbench.judging.budget import Budget
    from htbench.run.add_scores import LoadedScorers

_WHAT, _SCORED, _HOSTED = "What to import", "How it is scored", "Hosted models"
"""Panels of the help page."""


def import_pictures(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A table of pictures (CSV or JSON lines), a folder with --pattern, or the card "
            "of a hosted model (TOML).",
        ),
    ],
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What the paths below a folder say: {method}/{concept}/{prompt}-{seed}-"
            "{strength}.png; also {step}, {seconds}, and * for anything.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Value of a column for all pictures that lack it: method=mine. Repeatable.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    concept_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Concept set whose ids or words the concepts are, shipped or your own file.",
            show_default="their words become a set",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    unsteered: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Method whose pictures are unsteered: the counterparts of the others with the "
            "same prompt and seed.",
            rich_help_panel=_WHAT,
        ),
    ] = "none",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the generator, for the report.",
            show_default="imported",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder that all pictures lie in, where paths begin.",
            show_default="that of the table",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    link: Annotated[
        bool,
        typer.Option(
            "--link",
            help="Do not copy plain PNG files: give them a second name (a hard link).",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on with pictures that come into the folder, until Ctrl-C.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    every: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86_400,
            metavar="SECONDS",
            help="Time between two looks of --watch, in seconds.",
            rich_help_panel=_WHAT,
        ),
    ] = 5.0,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Encoder, installed scorer, or ./card.toml. Repeatable; the first encoder makes "
            "the headline.",
            show_default="none; htbench score adds them",
            rich_help_panel=_SCORED,
        ),
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Most requests to a hosted model, those of earlier commands included.",
            show_default="no limit",
            rich_help_panel=_HOSTED,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="AMOUNT",
            help="Most that these requests may cost; needs --prices.",
            show_default="no limit",
            rich_help_panel=_HOSTED,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your table of prices in TOML; see docs/import.md.",
            rich_help_panel=_HOSTED,
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=256, metavar="N", help="Requests at the same time.", rich_help_panel=_HOSTED
        ),
    ] = 4,
    device: Device = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the run's folder.",
            show_default="that of the source",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    wide: Wide = False,
    open_: Open = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Make a run of pictures that other programs made, and write its report. The same command again
    adds what is new.
    """
    from htbench.core.display import Display
    from htbench.importing.importer import ImportSettings
    from htbench.importing.rows import RowReader, fixed_values
    from htbench.judging.budget import Budget
    from htbench.report.current import find_current_page
    from htbench.scorers import scorer as scorers

    for each in scorer or ():
        scorers.check(each)
        scorers.check_installed(each)
    display = Display(verbose=verbose, as_json=as_json)
    path = Path(source)
    folder = runs_dir / (name or _run_name(path))
    settings = ImportSettings(
        root=(root or (path if path.is_dir() else path.parent)).absolute(),
        source=source,
        model=model or "",
        concept_set=concept_set or "",
        link=link,
    )
    reader = RowReader(
        root=settings.root, fixed=fixed_values(values or []), unsteered_name=unsteered.strip()
    )
    scoring = _Scoring(names=scorer or [], device=device)
    if path.suffix == ".toml":
        budget = Budget(requests=max_requests, cost=max_cost)
        _hosted(path, folder, scoring, budget, prices, concurrency, display=display, wide=wide)
        return
    pictures = _folder(path, pattern, reader)
    if watch:
        if pictures is None:
            raise UsageError("--watch is for folders", remedy="Give a folder and --pattern.")
        imported = _watch(pictures, folder, settings, scoring, every=every, display=display)
    else:
        imported = _import(path, pictures, folder, settings, reader, display)
    if imported is None:
        raise UsageError(f"no picture came into {source[:300]!r}")
    _tell(imported, folder, display)
    code = scoring.finish(folder, wide=wide, display=display)
    if open_:
        open_page(find_current_page(folder))
    if imported.left_out:
        raise Incomplete(
            f"pictures that could not be used: {imported.left_out:,}",
            remedy="Mend them, and issue the same command again.",
        )
    raise typer.Exit(code)


class _Scoring:
    """The scorers of the command, loaded once when the first pictures are there."""

    def __init__(self, *, names: list[str], device: str | None) -> None:
        self._names, self._device = names, device
        self._loaded: LoadedScorers | None = None

    def score(self, folder: Path, display: "Display") -> None:
        """Score the pictures that have no score yet."""
        if not self._names:
            return
        from htbench.run.add_scores import LoadedScorers, add_scores  # imports torch

        self._loaded = self._loaded or LoadedScorers.load(self._names, self._device)
        added = add_scores(folder, self._names, display=display, loaded=self._loaded)
        display.note(f"{folder}: {added}")

    def finish(self, folder: Path, *, wide: bool, display: "Display") -> int:
        """Score the last pictures and write the report; 3 if scores are missing, else 0.

        A run that nobody has scored yet lacks none.
        """
        from htbench.run.fact_table import Facts
        from htbench.run.store import Store

        self.score(folder, display)
        code = write_and_print(folder, wide=wide, as_json=display.as_json)
        with Store.read(folder) as store:
            is_scored = bool(Facts.read(store).scorers)
        if not is_scored:
            display.note(f"no scores yet; see: htbench score {folder.name} --scorer NAME")
        return code if is_scored else 0


def _run_name(path: Path) -> str:
    name = (path.resolve().name if path.is_dir() else path.stem)[:60].strip(". ")
    return name or "imported"


def _folder(path: Path, pattern: str | None, reader: "RowReader") -> "PictureFolder | None":
    """The folder of pictures; None for a table.

    Raises:
        UsageError: for a folder without a pattern, and a table with one.
    """
    from htbench.importing import tables
    from htbench.importing.folders import EXAMPLE, Pattern, PictureFolder

    if path.is_dir():
        if not pattern:
            raise UsageError(
                "a folder needs a pattern of its paths", remedy=f"Write: --pattern '{EXAMPLE}'"
            )
        found = PictureFolder(pattern=Pattern(text=pattern), reader=reader)
        found.pattern.expression  # noqa: B018 - raises where it is not valid
        return found
    if pattern:
        raise UsageError(f"--pattern is for folders, and {str(path)[:300]!r} is none")
    if not tables.is_table(path):
        raise UsageError(
            f"{str(path)[:300]!r} is neither a folder nor a table of pictures",
            remedy="Give a folder, or a file that ends in .csv or .jsonl.",
        )
    return None


def _import(
    path: Path,
    pictures: "PictureFolder | None",
    folder: Path,
    settings: "ImportSettings",
    reader: "RowReader",
    display: "Display",
) -> "Imported":
    from htbench.importing import tables
    from htbench.importing.importer import import_rows

    rows = pictures.rows() if pictures else tables.read(path, reader)
    imported = import_rows(rows, folder, settings, display=display)
    if pictures and pictures.note:
        display.note(pictures.note)
    return imported


def _watch(
    pictures: "PictureFolder",
    folder: Path,
    settings: "ImportSettings",
    scoring: _Scoring,
    *,
    every: float,
    display: "Display",
) -> "Imported | None":
    from htbench import report
    from htbench.importing.watch import watch

    def after(imported: "Imported") -> None:
        display.note(str(imported))
        scoring.score(folder, display)
        report.write(folder)

    display.note(f"watching {str(pictures.reader.root)!r}; Ctrl-C ends it")
    return watch(pictures, folder, settings, every=every, after=after, display=display)


def _hosted(
    path: Path,
    folder: Path,
    scoring: _Scoring,
    limits: "Budget",
    prices: Path | None,
    concurrency: int,
    *,
    display: "Display",
    wide: bool,
) -> None:
    """Have a hosted model make pictures, import those that came, and end with the exit code.

    Raises:
        Incomplete: if any did not come.
    """
    from htbench.core.errors import HtbenchError
    from htbench.importing import hosted, hosted_card
    from htbench.importing.importer import ImportSettings, import_rows
    from htbench.judging.budget import price_of
    from htbench.judging.ledger import Ledger
    from htbench.run.store import Store

    card = hosted_card.read(path)
    pictures = list(hosted_card.pictures(card))
    hosted.connection(card)  # raises at once without a key
    meter = limits.meter()
    meter.price = price_of(card.model, prices, limits)
    with Store.open(folder):
        cache = folder / hosted.FOLDER
        cache.mkdir(exist_ok=True)
    problem: HtbenchError | None = None
    with Ledger.open(cache) as ledger:
        model = hosted.HostedModel(
            card=card, ledger=ledger, meter=meter, concurrency=concurrency, display=display
        )
        try:
            model.make(iter(pictures))
        except HtbenchError as error:
            problem = error
        settings = ImportSettings(
            root=cache.absolute(),
            source=str(path),
            model=card.model,
            concept_set=card.pictures.concept_set,
            notes=() if card.seed_parameter else (hosted_card.SEEDLESS,),
        )
        rows = list(model.rows(iter(pictures)))
        lacking = model.failures(iter(pictures))
        if problem is not None and not rows:
            raise problem
        imported = import_rows(rows, folder, settings, display=display, is_live=True)
    _tell(imported, folder, display)
    code = scoring.finish(folder, wide=wide, display=display)
    if problem is not None:
        raise problem
    if lacking:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in lacking.items())
        raise Incomplete(
            f"{lacking.total():,} of {len(pictures):,} pictures did not come: {reasons}",
            remedy="The same command asks for them again; a larger --max-requests or --max-cost "
            "if that was the end.",
        )
    raise typer.Exit(code)


def _tell(imported: "Imported", folder: Path, display: "Display") -> None:
    display.note(f"{folder}: {imported}")
    for problem in imported.problems:
        display.event("left out", text=problem)
