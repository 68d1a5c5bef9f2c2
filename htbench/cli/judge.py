"""`htbench judge`: a tournament between a run's methods, with a calibration and audit of its
judge.
"""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.judge_request import JudgeRequest, conduct
from htbench.cli.options import (
    RUNS_DIR,
    Json,
    RunName,
    RunsDir,
    Verbose,
    Wide,
    run_folder,
)
from htbench.core.errors import UsageError
from htbench.judging.judge import JudgeContext
from htbench.judging.schedule import ANCHORS, ScheduleSettings

_WHAT, _HOW_MUCH, _CALLS, _VERDICTS = "What to compare", "How much", "Calls", "Verdicts"
"""Panels of the help page."""


def judge(
    run: RunName,
    judge: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Judge by name, or the path of its folder; see htbench list judges.",
            rich_help_panel=_WHAT,
        ),
    ] = "clip",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Model of the judge's endpoint, or its encoder.",
            show_default="that of the judge's card",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="presence, preservation, quality or overall. Repeatable.",
            show_default="all of the judge",
            rich_help_panel=_WHAT,
        ),
    ] = None,
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
            help="Compare with this method alone, such as prompt; or the bundle that the run was "
            "made against: add its newcomers to the bundle's tournament, as such a run does of "
            "itself.",
            rich_help_panel=_WHAT,
        ),
    ] = ScheduleSettings.against,
    task: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="pairs: images of two methods. strength: images of one method at two strengths, "
            "and which shows the concept more clearly.",
            rich_help_panel=_WHAT,
        ),
    ] = "pairs",
    strength: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Strength that images are compared at, or `tuned`.",
            show_default="1, or the largest of the run",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pairs of images, balanced over methods and concepts.",
            show_default="all",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.pairs,
    swiss: Annotated[
        int,
        typer.Option(
            min=0,
            max=50,
            metavar="N",
            help="Choose most pairs in N rounds, each between methods of similar rank; 0: a round "
            "robin.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.swiss,
    anchors: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Methods of the bundle that each image of a newcomer is compared with.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ANCHORS,
    controls: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Controls of each kind per criterion: repeats, identical pairs, noise, wrong "
            "concepts, text.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.controls,
    one_order: Annotated[
        bool,
        typer.Option(
            "--one-order",
            help="Ask in one random order only: half the calls, but position bias stays unseen.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Random seed for the schedule and for intervals.",
            rich_help_panel=_HOW_MUCH,
        ),
    ] = ScheduleSettings.seed,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            metavar="N",
            help="Most tokens of a reply, thoughts included.",
            show_default="those of the judge's card",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Parameter of the calls, such as temperature=0.5, reasoning_effort=low or "
            "chat_template_kwargs.enable_thinking=false; null takes one away. Repeatable.",
            show_default="those of the judge's card",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Most requests of this run to this model, with retries and earlier ones.",
            show_default="no limit",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="AMOUNT",
            help="Most that these requests may cost; needs --prices.",
            show_default="no limit",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your table of prices in TOML; see docs/judging.md.",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=256, metavar="N", help="Calls at the same time.", rich_help_panel=_CALLS
        ),
    ] = JudgeContext.concurrency,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Longest wait that an endpoint may ask for.",
            rich_help_panel=_CALLS,
        ),
    ] = JudgeContext.wait,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="ACTION",
            help="submit: send all open calls in batches; collect: fetch those that are ready.",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cpu, cuda or cuda:1, for judges on this machine.",
            show_default="the GPU if there is one",
            rich_help_panel=_CALLS,
        ),
    ] = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Only ask about pairs of pictures whose truth is known, and show how often the "
            "judge is right; or leave those out: then it decides no claim.",
            show_default="those before the tournament",
            rich_help_panel=_VERDICTS,
        ),
    ] = None,
    pointwise: Annotated[
        bool,
        typer.Option(
            "--pointwise",
            help="Ask about each image alone, such as whether it shows the concept, and score "
            "it by the probability of yes; --pairs is then the number of images per criterion.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Ask at most one question, and show what the others would take.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Ask about known pictures and for one comparison; show the call, the reply and "
            "what the endpoint can do.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Ask nothing; show the verdicts so far.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    reparse: Annotated[
        bool,
        typer.Option(
            "--reparse",
            help="Ask nothing; read verdicts from all raw replies again.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    thoughts: Annotated[
        bool,
        typer.Option(
            "--thoughts",
            help="Show also what the model thought before each answer.",
            rich_help_panel=_VERDICTS,
        ),
    ] = False,
    humans: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Votes of people as CSV, for the agreement with them and corrected win rates.",
            rich_help_panel=_VERDICTS,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    wide: Wide = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Have images of a run's methods compared in pairs by a model. The same command again asks only
    what has no verdict yet.
    """
    from htbench.core.display import Display
    from htbench.judging import card as judge_cards
    from htbench.judging.agreement import read_votes
    from htbench.judging.budget import Budget
    from htbench.judging.ledger import Ledger
    from htbench.judging.parameters import read_parameters
    from htbench.judging.prepare import (
        TournamentOptions,
        build_tournament,
        check_installed,
        prepare_tournament,
    )
    from htbench.judging.strengths import prepare_strengths

    request = JudgeRequest(
        calibrate=calibrate,
        pointwise=pointwise,
        task=task,
        probe=probe,
        dry_run=dry_run,
        batch=batch,
        offline=offline,
        reparse=reparse,
        thoughts=thoughts,
        wide=wide,
        as_json=as_json,
    )
    request.check(
        {"--against": against, "--swiss": swiss, "--one-order": one_order, "--humans": humans}
    )
    if task == "strength" and strength:
        raise UsageError(
            "--task strength compares all strengths of the run, and --strength names one",
            remedy="Leave --strength out.",
        )
    folder, card = run_folder(run, runs_dir), judge_cards.load_judge_card(judge).with_model(model)
    card = card.with_parameters(read_parameters(parameter or ()))
    if max_tokens is not None:
        card = card.with_max_tokens(max_tokens)
    bundle = _bundle(against, folder, pairs=bool(method or pairs or swiss))
    schedule = ScheduleSettings(
        against="" if bundle else against,
        pairs=pairs,
        swiss=swiss,
        controls=controls,
        both_orders=not one_order,
        seed=seed,
    )
    context = JudgeContext(
        device=device, concurrency=concurrency, wait=wait, offline=offline or reparse
    )
    check_installed(card, context)
    options = TournamentOptions(
        methods=tuple(method or ()),
        criteria=tuple(criterion or ()),
        strength=strength,
        schedule=schedule,
        context=context,
        budget=Budget(requests=max_requests, cost=max_cost),
        prices=prices,
        anchors=anchors,
    )
    votes = read_votes(humans) if humans else []
    display = Display(verbose=verbose, as_json=as_json)
    with Ledger.read(folder) if offline else Ledger.open(folder) as ledger, display.showing():
        prepare = prepare_tournament if request.compares_pairs else build_tournament
        if task == "strength":
            prepare = prepare_strengths
        conduct(prepare(folder, ledger, card, options, display), request, votes)


def _bundle(against: str, folder: Path, *, pairs: bool) -> bool:
    """True if `against` is a bundle, which has to be the one of the run.

    Raises:
        UsageError: if it is not, or if pairs are chosen too.
    """
    from htbench.bundles import against as newcomers

    if not newcomers.is_bundle_name(against):
        return False
    if pairs:
        raise UsageError(
            "a newcomer is compared with anchors of its bundle, and pairs are chosen too",
            remedy="Leave --method, --pairs and --swiss out, or --against.",
        )
    newcomers.check_digest(Path(against), folder)
    return True
