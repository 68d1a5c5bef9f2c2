"""`htbench study export`: a run as a blinded page of pairs, strengths, single pictures or sets; or
pairs that were picked on the page of `htbench play`.
"""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import RUNS_DIR, Json, RunsDir, run_folder
from htbench.cli.study_options import Study
from htbench.core import reading
from htbench.study.ask.options import PAIRS, StudyOptions
from htbench.study.task import MAX_SET, find

_MOST = 1_000_000
_WHAT, _HOW_MUCH, _PAGE = "What to ask", "How much", "The page"
"""Panels of the help page."""


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Name of a run, or the path of its folder; or a file of pairs (.jsonl) that was "
            "saved on the page of htbench play.",
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="pairs: which of two methods is better; strength: which of two strengths of one "
            "method is stronger; rating: one image, 1 to 5; yes-no: one image; best: the best of "
            "several methods.",
            rich_help_panel=_WHAT,
        ),
    ] = StudyOptions.task,
    criterion: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="presence, preservation, quality or overall.",
            show_default="presence, or strength for that task",
            rich_help_panel=_WHAT,
        ),
    ] = StudyOptions.criterion,
    question: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Question to ask, with {prompt} and {concept} for the words of what is shown.",
            show_default="that of the criterion",
            rich_help_panel=_WHAT,
        ),
    ] = StudyOptions.question,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Method of the run. Repeatable.",
            show_default="all",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Compare with this method alone, such as prompt.",
            rich_help_panel=_WHAT,
        ),
    ] = StudyOptions.against,
    strength: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Strength that images are compared at.",
            show_default="1, or the largest of the run",
            rich_help_panel=_WHAT,
        ),
    ] = StudyOptions.strength,
    forced: Annotated[
        bool,
        typer.Option("--forced", help="Allow no ties.", rich_help_panel=_WHAT),
    ] = False,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST,
            metavar="N",
            help="Pairs of images, or single images or sets, balanced over methods and concepts.",
            show_default=f"{PAIRS}, or all of a file",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.pairs,
    set_size: Annotated[
        int,
        typer.Option(
            min=2,
            max=MAX_SET,
            metavar="N",
            help="Images of which the best is chosen, for --task best.",
            show_default=f"{StudyOptions.set_size}, or all methods if they are fewer",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.set_size,
    raters: Annotated[
        int,
        typer.Option(
            min=1,
            max=_MOST,
            metavar="N",
            help="Participants; each gets a sheet and a link.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.raters,
    votes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST,
            metavar="N",
            help="Votes per pair, each of another participant.",
            show_default=f"{StudyOptions.votes}, or as many as there are raters",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = None,
    checks: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MOST,
            metavar="N",
            help="Attention checks per participant: pairs that say which key to press.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.checks,
    sentinels: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MOST,
            metavar="N",
            help="Pairs of an image and noise per participant.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.sentinels,
    repeats: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MOST,
            metavar="N",
            help="Pairs that each participant sees again, sides swapped.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.repeats,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Random seed for pairs and sheets.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = StudyOptions.seed,
    consent: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Text that participants agree to.", rich_help_panel=_PAGE
        ),
    ] = None,
    debrief: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Text that participants read at the end.", rich_help_panel=_PAGE
        ),
    ] = None,
    post: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Address that answers are also sent to, as CSV.",
            rich_help_panel=_PAGE,
        ),
    ] = StudyOptions.post,
    done: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Address that participants go to at the end, such as Prolific's completion page.",
            rich_help_panel=_PAGE,
        ),
    ] = StudyOptions.done,
    size: Annotated[
        int,
        typer.Option(
            min=0,
            max=4096,
            metavar="PIXELS",
            help="Side of the images on the page; 0: their own size.",
            rich_help_panel=_PAGE,
        ),
    ] = StudyOptions.size,
    study: Study = Path("study"),
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Write a blinded page to publish, and the key that stays with you."""
    from dataclasses import asdict

    from htbench.core.display import print_json
    from htbench.study.ask import export as page
    from htbench.study.ask.pair_file import is_pair_file

    asked = find(task)
    text = reading.read_text(consent, noun="consent") if consent else None
    end = reading.read_text(debrief, noun="debrief") if debrief else None
    options = StudyOptions(
        task=asked.name, methods=tuple(method or ()), criterion=criterion, question=question,
        against=against, strength=strength, pairs=pairs, set_size=set_size, raters=raters,
        votes=votes or min(StudyOptions.votes, raters), checks=checks,
        sentinels=sentinels, repeats=repeats, ties=not forced, consent=text, debrief=end, post=post,
        done=done, size=size, seed=seed,
    )  # fmt: skip
    source = Path(run) if is_pair_file(run) else run_folder(run, runs_dir)
    summary = page.write(source, study, options)
    if as_json:
        print_json(**asdict(summary))
        return
    fewest, most = summary.trials
    trials = f"{fewest} to {most}" if fewest < most else str(fewest)
    typer.echo(
        f"{summary.pairs:,} {asked.short_noun} on {summary.sheets} sheets of {trials} trials; "
        f"{summary.pictures:,} pictures, {summary.bytes / 1e6:.1f} MB"
    )
    typer.echo(
        f"1. Upload {study / 'page'}.\n"
        f"2. Send each participant one line of {study / 'links.txt'}.\n"
        f"3. Keep {study / 'key.csv'} private: it says which method made which image."
    )
