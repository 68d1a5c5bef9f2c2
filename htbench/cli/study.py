"""`htbench study`: people compare pictures, from a blinded page to a pooled result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.help import HelpCommand, HelpGroup
from htbench.cli.options import OUTPUT, RUNS_DIR, Json, RunsDir, run_folder
from htbench.cli.report import print_path
from htbench.cli.study_export import export
from htbench.cli.study_options import Secret, Seed, Study, secret_file
from htbench.cli.study_serve import serve

if TYPE_CHECKING:
    from htbench.run.study_result import StudyRecord

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run a blinded human study. Export a page, import the votes, report the result.",
    epilog="""
htbench study export quickstart --pairs 200 --raters 20
htbench study rehearse
htbench study import answers.csv
htbench study report quickstart
""",
)


app.command(
    cls=HelpCommand,
    epilog="""
htbench study export quickstart --pairs 200 --raters 20
htbench study export quickstart --against prompt --criterion overall --study mine
htbench study export quickstart --task strength --study strengths
""",
)(export)


@app.command(
    cls=HelpCommand,
    epilog="htbench study template mturk --pictures https://example.org/page/pictures",
)
def template(
    platform: Annotated[
        str, typer.Argument(metavar="PLATFORM", help="label-studio, mturk, qualtrics or csv.")
    ],
    pictures: Annotated[
        str, typer.Option(metavar="URL", help="Address at which page/pictures is published.")
    ],
    study: Study = Path("study"),
    as_json: Json = False,
) -> None:
    """Write an exported study for another platform. htbench study import reads its answers with the
    same key.
    """
    from htbench.core.display import print_json
    from htbench.study.ask import platforms as forms

    files = forms.write(study, platform, pictures_url=pictures)
    if as_json:
        print_json(platform=platform, files=list(map(str, files)))
        return
    typer.echo("\n".join(map(str, files)))


@app.command(cls=HelpCommand, epilog="htbench study rehearse --bots 1")
def rehearse(
    study: Study = Path("study"),
    to: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the rehearsal, a study of its own.",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("rehearsal"),
    bots: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Participants that are bots, whose answers the rules should leave out: one always "
            "takes the left, one presses any key, and so on.",
            show_default="3, or a quarter of a small study's participants",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Answer an exported study with simulated participants. Tries import, rules and report before
    anybody is asked.
    """
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.study.ask import rehearsal

    summary = rehearsal.write(study, to, bots=bots, seed=seed)
    if as_json:
        print_json(**{**asdict(summary), "files": list(map(str, summary.files))})
        return
    people = f"{summary.people:,} simulated participants, {summary.bots} of them bots"
    typer.echo(f"{people}, gave {summary.answers:,} answers in {to}")
    if summary.bots == summary.people:
        typer.echo("All of them are bots, so no answer will be kept: give --bots 0.", err=True)
    verb = "notice the strength of" if summary.task == "strength" else "prefer"
    typer.echo(f"They were made to {verb} {', then '.join(summary.order)}.")


app.command(
    cls=HelpCommand,
    epilog="htbench study serve study\nhtbench study serve study --url https://study.example.org/",
)(serve)


@app.command(
    "import",
    cls=HelpCommand,
    epilog="htbench study import answers.csv\nhtbench study import batch.csv --profile mturk",
)
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Files of votes, as the platform exports them."),
    ],
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Platform, or a TOML file of your own.",
            show_default="guessed from the files",
        ),
    ] = None,
    study: Study = Path("study"),
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Table of what each item shows.",
            show_default="the study's key.csv",
        ),
    ] = None,
    secret: Secret = None,
    people: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Prolific's export of submissions; adds status, time, decade of age and sex.",
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Rules for leaving participants out, declared before answers are read.",
            show_default="the study's rules.toml",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read votes into the study's table, with pseudonyms for participants. The same file again
    changes nothing.
    """
    from dataclasses import asdict

    from htbench.core.display import print_json, printable
    from htbench.study.collect import detect, intake
    from htbench.study.collect.profile import find

    layout = find(profile) if profile else detect.detect_common_profile(files)
    summary = intake.import_answers(
        files,
        study,
        profile=layout,
        key=key,
        secret=secret_file(study, secret),
        rules=rules,
        participants=people,
    )
    if as_json:
        print_json(profile=layout.name, **asdict(summary))
        return
    typer.echo(f"{summary.read:,} answers read as {layout.name}, {summary.new:,} of them new")
    typer.echo(
        f"{summary.answers:,} answers of {summary.people:,} people in {study / intake.ANSWERS_FILE}"
    )
    if summary.left_out:
        names = ", ".join(printable(name, max_length=60) for name in summary.left_out)
        typer.echo(f"Columns that are not kept: {names}", err=True)


@app.command(cls=HelpCommand, epilog="htbench study sniff answers.csv")
def sniff(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of votes.")],
) -> None:
    """Guess which platform a file comes from. Prints its profile, to be changed and given to
    --profile.
    """
    from htbench.study.collect import detect

    typer.echo(detect.text(detect.detect_profile(file)), nl=False)


@app.command(
    cls=HelpCommand, epilog="htbench study report quickstart\nhtbench study report --study mine"
)
def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Run that the study is of, to compare its judges and metrics with people.",
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            min=100, max=100_000, metavar="N", help="Resamples of concepts and participants."
        ),
    ] = 1000,
    seed: Seed = 0,
    study: Study = Path("study"),
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Report the votes of a study. Shows exclusions and the agreement of people, judges and
    metrics, and writes report.html, report.md, report.json, and votes.csv for judges, or
    results.csv for another task than pairs. The report of the run is written again.
    """
    from htbench.core.display import print_json
    from htbench.core.errors import Incomplete
    from htbench.study.analyse import writeup
    from htbench.study.analyse.task_result import text_table
    from htbench.study.collect import intake

    folder = run_folder(run, runs_dir) if run else None
    result = writeup.write(study, folder, rounds=rounds, seed=seed)
    pages = _write_pages(writeup.record(result, study), study, folder)
    for criterion in result.criteria:
        for preference in criterion.preferences if as_json else ():
            print_json(criterion=criterion.name, headline=writeup.headline(preference))
        if criterion.preferences and not as_json:
            writeup.preference_table(criterion).print()
            typer.echo()
    if result.task and as_json:
        print_json(task=result.task.task, criterion=result.task.criterion, **result.task.facts)
    for table in result.task.tables if result.task and not as_json else ():
        text_table(table).print()
        typer.echo()
    for page in pages:
        if as_json:
            print_json(event="report", path=str(page))
        else:
            print_path(page)
    if reason := writeup.nobody_left(result.flow):
        raise Incomplete(
            f"{reason}; see {study / writeup.REPORT_FILE}",
            remedy=f"Is that rule of {study / intake.RULES_FILE} meant for such answers?",
        )
    kept = f"{len(result.flow.kept):,} of {result.flow.steps[0].answers:,} answers kept"
    typer.echo(f"{kept}; see {study / writeup.REPORT_FILE}", err=True)


@app.command(
    cls=HelpCommand,
    epilog="htbench study forget 921849c128\nhtbench study forget rater1.tsv --study mine",
)
def forget(
    person: Annotated[
        str,
        typer.Argument(
            metavar="PERSON",
            help="Pseudonym, identifier on the platform, or file with one person's answers.",
        ),
    ],
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Run that holds results of the study, if it is in no folder of --runs-dir.",
        ),
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Secret that pseudonyms are made with.",
            show_default="beside the study's folder",
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            min=100, max=100_000, metavar="N", help="Resamples of the reports that are rewritten."
        ),
    ] = 1000,
    seed: Seed = 0,
    study: Study = Path("study"),
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Remove a person who withdraws: their identifiers and answers leave every file of the study,
    and all results and reports made from them are written again. Later imports leave them out.
    """
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.report.study_page import PAGE
    from htbench.run.study_result import FOLDER
    from htbench.study.analyse import publish, writeup
    from htbench.study.collect import withdrawal

    name = publish.file_name(study)
    runs = [path.parent.parent for path in runs_dir.glob(f"*/{FOLDER}/{name}")]
    if run and (folder := run_folder(run, runs_dir)) not in runs:
        runs.append(folder)
    reports = (*writeup.FILES, PAGE)
    summary = withdrawal.forget(
        study,
        person,
        secret=secret_file(study, secret),
        reports=reports,
    )
    pages = []
    if not summary.people:
        pages = _remove_results([*(study / each for each in reports)], runs, name)
    elif runs or any((study / each).exists() for each in reports):
        homes: list[Path | None] = [*runs] or [None]
        for own_run in homes:
            result = writeup.write(study, own_run, rounds=rounds, seed=seed)
            pages += _write_pages(writeup.record(result, study), study, own_run)
    if as_json:
        print_json(**asdict(summary), pages=list(map(str, dict.fromkeys(pages))))
        return
    if summary.answers or summary.files:
        typer.echo(
            f"{summary.answers:,} answers of 1 person removed, and {summary.files:,} imported "
            f"files changed; {summary.people:,} people are left"
        )
    elif summary.sessions:
        typer.echo(f"{summary.sessions:,} session of 1 person removed, which was not imported yet")
    else:
        typer.echo("That person has withdrawn before; nothing of theirs was left.")
    for page in dict.fromkeys(pages):
        print_path(page)
    if any(any((each / "judged").glob("*.json")) for each in runs):
        typer.echo(
            "Rates of judges that were corrected by people's votes are those of before: "
            "repeat htbench judge --humans.",
            err=True,
        )


def _remove_results(files: list[Path], runs: list[Path], name: str) -> list[Path]:
    """Delete the reports of a study without people, and write the reports of its runs again."""
    from htbench import report
    from htbench.run.study_result import FOLDER

    for file in (*files, *(run / FOLDER / name for run in runs)):
        file.unlink(missing_ok=True)
    return [report.write(run) for run in runs]


def _write_pages(record: "StudyRecord", study: Path, run: Path | None) -> list[Path]:
    """Write the page of a study, and the report of its run unless the study is a rehearsal."""
    from htbench import report
    from htbench.report import study_page
    from htbench.study import manifest

    rehearsal = manifest.read(study).rehearsal
    pages = [study_page.write(record, study, rehearsal=rehearsal)]
    if run and not rehearsal:
        pages.append(report.write(run))
    return pages
