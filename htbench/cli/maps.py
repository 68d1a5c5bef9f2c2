"""`htbench maps`: maps in files, learnt for a concept, shown, and calculated with."""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.help import HelpCommand, HelpGroup
from htbench.cli.options import (
    RUNS_DIR,
    ConceptSetName,
    Device,
    Json,
    MethodCard,
    ModelName,
    ModelOption,
    Weights,
    choose_model,
)
from htbench.core.errors import UsageError

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Learn the maps of a concept into a file, and show, compose, invert or average such "
    "files. htbench steer --maps FILE steers with one.",
    epilog='htbench maps learn lineas --concept "sepia style" --out sepia.safetensors\n'
    "htbench maps compose sepia.safetensors snow.safetensors --out both.safetensors\n"
    "htbench steer --maps both.safetensors --prompt panda",
)
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of maps.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="File of maps.")]
Out = Annotated[
    Path, typer.Option(metavar="FILE", help="File to write, which ends in .safetensors.")
]


@app.command(
    cls=HelpCommand,
    epilog='htbench maps learn lineas --concept "sepia style" --out sepia.safetensors',
)
def learn(
    method: MethodCard,
    concept: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help='Concept in any words: "woodcut style"; or a concept of the set.'
        ),
    ],
    out: Out,
    model: ModelName = "emoji",
    weights: Weights = None,
    model_option: ModelOption = None,
    concept_set: ConceptSetName = "emoji",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for learning.")] = 0,
    device: Device = None,
) -> None:
    """Write the maps that a method learns for one concept."""
    import time

    from htbench.steering import baseline, intervention, steer
    from htbench.steering import concept as concept_sets

    card, path = baseline.load_card(method), _writable(out)
    source = choose_model(model, weights, model_option)
    concepts = concept_sets.load(concept_set, model=model)
    target = steer.concept_from_words(concept, concepts)
    steer.check_readable(card, target)
    loaded, began = source.load(device), time.perf_counter()
    folder = RUNS_DIR / "steer" / "learnt"
    learnt = steer.learn([card], loaded, [target], concepts=concepts, folder=folder, seed=seed)
    change = learnt[card.name][target.id]
    origin = intervention.InterventionOrigin(
        model=loaded.name,
        revision=loaded.revision,
        method=card.name,
        concept=target.text,
        seed=seed,
        seconds=time.perf_counter() - began,
    )
    intervention.save(change, path, origin=origin)
    typer.echo(path)


@app.command(cls=HelpCommand, epilog="htbench maps show sepia.safetensors")
def show(files: Files, as_json: Json = False) -> None:
    """Show the origin of maps, and the sites that they change most."""
    from htbench.core.display import print_json, printable
    from htbench.steering.map_files import MapFile

    for path in files:
        file = MapFile.read(path)
        origin, sites = file.origin, len(file.change.sites)
        applied_to = "means over positions" if file.on_means else "each position"
        if file.spatial:
            applied_to += ", with a shift of its own"
        strongest = file.strongest_sites(5) if file.is_affine else []
        channels = file.maps.layout.channels if file.is_affine else None
        if as_json:
            print_json(
                file=str(path),
                concept=file.name,
                model=origin.model if origin else None,
                method=origin.method if origin else None,
                kind=file.change.kind,
                applied_to=applied_to if file.is_affine else None,
                **({"gate": file.gate} if file.gate else {}),
                sites=sites,
                channels=channels,
                strongest=dict(strongest),
            )
            continue
        made = f", by {origin.method} for {origin.model}" if origin else ", of unknown origin"
        typer.echo(f"{path}: {printable(file.name)}{made}")
        if channels is None:
            kind = printable(file.change.kind)
            typer.echo(f"  {sites} sites, of kind {kind}, which is not affine")
            continue
        typer.echo(f"  {sites} sites, {channels:,} channels, applied to {applied_to}")
        if file.gate:
            typer.echo(f"  only in {file.gate}")
        for site, size in strongest:
            typer.echo(f"  {size:8.3f}  {site}")


@app.command(
    cls=HelpCommand,
    epilog="htbench maps compose sepia.safetensors snow.safetensors --out both.safetensors",
)
def compose(files: Files, out: Out) -> None:
    """Write maps that act as those of all files in turn, the first one first, at strength 1."""
    from htbench.steering import map_files

    map_files.compose([map_files.MapFile.read(path) for path in files], _writable(out))
    typer.echo(out)


@app.command(
    cls=HelpCommand, epilog="htbench maps invert sepia.safetensors --out less-sepia.safetensors"
)
def invert(file: File, out: Out) -> None:
    """Write maps that undo those of a file at strength 1."""
    from htbench.steering import map_files

    map_files.invert(map_files.MapFile.read(file), _writable(out))
    typer.echo(out)


@app.command(
    cls=HelpCommand,
    epilog="htbench maps average sepia.safetensors snow.safetensors --out between.safetensors",
)
def average(files: Files, out: Out) -> None:
    """Write maps whose scales and shifts are the means of those of all files."""
    from htbench.steering import map_files

    map_files.average([map_files.MapFile.read(path) for path in files], _writable(out))
    typer.echo(out)


def _writable(path: Path) -> Path:
    if path.suffix != ".safetensors":
        raise UsageError(
            f"--out {str(path)!r} does not end in .safetensors",
            remedy=f"Write it as --out {path.with_suffix('.safetensors')}",
        )
    if not path.parent.is_dir():
        raise UsageError(f"no folder {str(path.parent)!r}", remedy="Give another --out.")
    return path
