"""`htbench run`: from a plan to a report."""

from pathlib import Path
from typing import Annotated

import typer

from htbench import plan as plans
from htbench.cli.options import Out, numbers
from htbench.cli.report import finish


def run(
    plan: Annotated[str | None, typer.Argument(help="A shipped plan such as quickstart, or a TOML file; options override it.")] = None,
    model: Annotated[str | None, typer.Option(help="See: htbench list models")] = None,
    method: Annotated[list[str] | None, typer.Option(help="A baseline or the path of its card; repeat for several.")] = None,
    concepts: Annotated[str | None, typer.Option(help="Split (train, dev, test) or concept ids, separated by commas.")] = None,
    concept_set: Annotated[str | None, typer.Option(help="See: htbench list concepts")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many concepts.")] = None,
    strength: Annotated[str | None, typer.Option(help="Strengths separated by commas: 0,0.5,1")] = None,
    prompts: Annotated[int | None, typer.Option(help="Evaluation prompts a concept.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Images a prompt.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images generated at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of learning and resampling.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; the GPU if there is one.")] = None,
    out: Out = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Folder of this run below --out; from the plan if not given.")] = None,
    allow_leak: Annotated[bool, typer.Option("--allow-leak", help="Run methods on concepts that they were trained on; the report says so.")] = False,
) -> None:
    """Run methods on concepts, score the images and write the report; the same command again continues where it stopped."""
    options: dict[str, object] = {
        "model": model, "methods": method, "concepts": concepts, "concept_set": concept_set, "limit": limit, "prompts": prompts, "seeds": seeds,
        "batch": batch, "seed": seed, "strengths": None if strength is None else numbers("strength", strength),
    }  # fmt: skip
    chosen = plans.build(plans.read(plan) if plan else {}, options)
    plans.check(chosen)
    folder = out / (name or _name(plan, options, chosen))
    from htbench import report, runner

    runner.run(chosen, folder, device=device, allow_leak=allow_leak)
    raise typer.Exit(finish(folder, report.write(folder)))


def _name(plan: str | None, options: dict[str, object], chosen: plans.Plan) -> str:
    """A plan's own name if it is run as it stands; else one that differs when the settings do."""
    from htbench import content

    start = Path(plan).stem if plan else chosen.model
    return start if plan and all(value is None for value in options.values()) else f"{start}-{content.digest(chosen.model_dump(mode='json'))[:8]}"
