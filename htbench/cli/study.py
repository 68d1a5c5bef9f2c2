"""`htbench study`: people compare pictures, from a blinded page to a pooled result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, Out, RunName, run_folder
from htbench.cli.report import print_path
from htbench.core import reading
from htbench.study.ask.options import StudyOptions

if TYPE_CHECKING:
    from htbench.run.study_result import StudyRecord

app = typer.Typer(
    no_args_is_help=True,
    help="People: a blinded page of pairs, the votes that come back, and what they say.",
)

_MOST = 1_000_000

Study = Annotated[Path, typer.Option("--study", help="Folder of the study.", show_default=True)]


@app.command()
def export(
    run: RunName,
    study: Study = Path("study"),
    pairs: Annotated[
        int,
        typer.Option(
            min=1, max=_MOST, help="Pairs of pictures, balanced over methods and concepts."
        ),
    ] = StudyOptions.pairs,
    raters: Annotated[
        int, typer.Option(min=1, max=_MOST, help="Sheets, one a person.")
    ] = StudyOptions.raters,
    votes: Annotated[
        int, typer.Option(min=1, max=_MOST, help="Votes that each pair gets, of as many people.")
    ] = StudyOptions.votes,
    criterion: Annotated[
        str, typer.Option(help="presence, preservation, quality or overall.")
    ] = StudyOptions.criterion,
    question: Annotated[str, typer.Option(help="Your own words for it.")] = StudyOptions.question,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method of the run; repeat for several; all if not given."),
    ] = None,
    against: Annotated[
        str, typer.Option(help="Only pairs with this method: prompt.")
    ] = StudyOptions.against,
    strength: Annotated[
        float | None,
        typer.Option(help="Strength that pictures are compared at; 1 if the run has it."),
    ] = StudyOptions.strength,
    checks: Annotated[
        int,
        typer.Option(min=0, max=_MOST, help="Attention checks a person: explicit instructions."),
    ] = StudyOptions.checks,
    sentinels: Annotated[
        int, typer.Option(min=0, max=_MOST, help="Pictures beside noise a person.")
    ] = StudyOptions.sentinels,
    repeats: Annotated[
        int, typer.Option(min=0, max=_MOST, help="Pairs that each person sees again, swapped.")
    ] = StudyOptions.repeats,
    forced: Annotated[bool, typer.Option("--forced", help="No ties.")] = False,
    consent: Annotated[
        Path | None, typer.Option(help="File with the text that people agree to.")
    ] = None,
    post: Annotated[
        str, typer.Option(help="Address that answers are sent to, as CSV, besides being saved.")
    ] = StudyOptions.post,
    done: Annotated[
        str,
        typer.Option(
            help="Address that people go to at the end, such as Prolific's for completion."
        ),
    ] = StudyOptions.done,
    size: Annotated[
        int, typer.Option(min=0, max=4096, help="Side of the pictures in pixels; 0: as they are.")
    ] = StudyOptions.size,
    seed: Annotated[int, typer.Option(min=0, help="Of pairs and sheets.")] = StudyOptions.seed,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Write a blinded page of pairs to publish, and the key that stays with you."""
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.study.ask import export as page

    text = reading.read_text(consent, noun="consent") if consent else StudyOptions.consent
    options = StudyOptions(
        methods=tuple(method or ()), criterion=criterion, question=question, against=against,
        strength=strength, pairs=pairs, raters=raters, votes=votes, checks=checks,
        sentinels=sentinels, repeats=repeats, ties=not forced, consent=text, post=post, done=done,
        size=size, seed=seed,
    )  # fmt: skip
    summary = page.write(run_folder(run, out), study, options)
    if as_json:
        print_json(**asdict(summary))
        return
    fewest, most = summary.trials
    trials = f"{fewest} to {most}" if fewest < most else str(fewest)
    typer.echo(
        f"{summary.pairs:,} pairs on {summary.sheets} sheets of {trials} trials; "
        f"{summary.pictures:,} pictures, {summary.bytes / 1e6:.1f} MB"
    )
    typer.echo(
        f"Publish {study / 'page'}, and give each person a link of {study / 'links.txt'}. "
        "Keep the rest: key.csv tells which method is which."
    )


@app.command()
def template(
    platform: Annotated[
        str, typer.Argument(help="label-studio, mturk or qualtrics.", show_default=False)
    ],
    pictures: Annotated[
        str, typer.Option(help="Address at which page/pictures is published.", show_default=False)
    ],
    study: Study = Path("study"),
    as_json: Json = False,
) -> None:
    """Write an exported study for another platform: the same sheets, which htbench study import
    reads back with the same key.
    """
    from htbench.core.display import print_json
    from htbench.study.ask import platforms as forms

    files = forms.write(study, platform, pictures_url=pictures)
    if as_json:
        print_json(platform=platform, files=list(map(str, files)))
        return
    typer.echo("\n".join(map(str, files)))


@app.command()
def rehearse(
    study: Study = Path("study"),
    to: Annotated[
        Path, typer.Option(help="Folder of the rehearsal, a study of its own.", show_default=True)
    ] = Path("rehearsal"),
    bots: Annotated[
        int,
        typer.Option(
            min=0,
            help="People who are none: one answers at once, one takes the left, one presses any "
            "button, and so on.",
        ),
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is made up.")] = 0,
    as_json: Json = False,
) -> None:
    """Have made-up people answer an exported study, to try import, rules and report before anybody
    is asked.
    """
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.study.ask import rehearsal

    summary = rehearsal.write(study, to, bots=bots, seed=seed)
    if as_json:
        print_json(**{**asdict(summary), "files": list(map(str, summary.files))})
        return
    people = f"{summary.people:,} made-up people, {summary.bots} of them bots"
    typer.echo(f"{people}, gave {summary.answers:,} answers in {to}")
    typer.echo(f"They were made to prefer {', then '.join(summary.order)}.")


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of votes, as the platform exports them.", show_default=False),
    ],
    profile: Annotated[
        str | None, typer.Option(help="Platform, or a TOML file of your own; guessed if not given.")
    ] = None,
    study: Study = Path("study"),
    key: Annotated[
        Path | None,
        typer.Option(help="What each item shows; the study's own key.csv if it has one."),
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(
            help="Key of the pseudonyms, made if not there; beside the study's folder if not given."
        ),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            help="Prolific's export of submissions: status, time, age by decade and sex are joined."
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="Whom to leave out, declared before answers are read; the study's own rules.toml "
            "if it has one."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read votes into the study's canonical table, people under pseudonyms; the same file again
    changes nothing.
    """
    from dataclasses import asdict

    from htbench.core.display import print_json, printable
    from htbench.study.collect import detect, intake
    from htbench.study.collect.profile import find

    layout = find(profile) if profile else detect.detect_profile(files[0]).profile
    summary = intake.import_answers(
        files,
        study,
        profile=layout,
        key=key,
        secret=secret or study.with_name(f"{study.resolve().name}.secret"),
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
        typer.echo(f"Left out: {names}", err=True)


@app.command()
def sniff(
    file: Annotated[Path, typer.Argument(help="A file of votes.", show_default=False)],
) -> None:
    """Guess which platform a file comes from, and print its profile, to be changed and given to
    --profile.
    """
    from htbench.study.collect import detect

    typer.echo(detect.text(detect.detect_profile(file)), nl=False)


@app.command()
def report(
    run: Annotated[
        str | None,
        typer.Argument(
            help="The run that the study is of: its judges and metrics are held against people."
        ),
    ] = None,
    study: Study = Path("study"),
    rounds: Annotated[
        int, typer.Option(min=100, max=100_000, help="Resamples of concepts and raters.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Report a study's votes, exclusions, and the agreement of people, judges and metrics:
    report.html, report.md, report.json, and votes.csv for judges. The report of the run is written
    again.
    """
    from htbench.core.display import print_json, printable
    from htbench.core.errors import Incomplete
    from htbench.study.analyse import writeup
    from htbench.study.collect import intake

    folder = run_folder(run, out) if run else None
    result = writeup.write(study, folder, rounds=rounds, seed=seed)
    pages = _write_pages(writeup.record(result, study), study, folder)
    for criterion in result.criteria:
        for preference in criterion.preferences:
            headline = writeup.headline(preference)
            if as_json:
                print_json(criterion=criterion.name, headline=headline)
            else:
                typer.echo(f"{printable(criterion.name, max_length=60)}: {printable(headline)}")
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
