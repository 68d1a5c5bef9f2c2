"""`htbench pack` and `htbench unpack`: a run as one file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import OUTPUT, RUNS_DIR, Json, RunName, RunsDir, run_folder
from htbench.core.errors import UsageError

BundleFile = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="File that htbench pack wrote.", show_default=False)
]
_SUFFIX = ".bundle.zip"


def pack(
    run: RunName,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="New file to write.",
            show_default=f"RUN{_SUFFIX}",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Whether the images are in the bundle; without them no score can be verified.",
        ),
    ] = True,
    sign: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY",
            help="Private SSH key to sign the bundle by; the signature is in FILE.sig.",
            show_default=False,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Write a run as one file that others can unpack, report and verify. Equal runs give equal
    bytes.
    """
    from htbench.bundles import pack as packing
    from htbench.bundles import signature
    from htbench.core.display import print_json

    folder = run_folder(run, runs_dir)
    path = out or Path(f"{folder.resolve().name}{_SUFFIX}")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {str(path.parent)[:300]!r}", remedy="Make it first.")
    packed = packing.pack(folder, path, with_pictures=pictures)
    signed = signature.sign(path, sign) if sign else None
    if as_json:
        print_json(
            bundle=str(path),
            files=packed.files,
            bytes=packed.bytes,
            sha256=packed.sha256,
            signature=str(signed) if signed else None,
        )
        return
    typer.echo(f"Bundle: {path} ({packed.files:,} files, {packed.bytes:,} bytes)")
    typer.echo(f"SHA-256: {packed.sha256}")
    if signed:
        typer.echo(f"Signature: {signed}")


def unpack(
    bundle: BundleFile,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the run's new folder.",
            show_default="that of the bundle",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Write the run of a bundle into a folder, whole or not at all. Exit code 5 if the bundle is
    not as it was packed.
    """
    from htbench.bundles import unpack as unpacking

    own = name or bundle.name.removesuffix(".zip").removesuffix(".bundle")
    if not own or own.startswith(".") or Path(own).name != own:
        raise UsageError(f"{own[:80]!r} is no name of a run", remedy="Give one with --name.")
    folder = runs_dir / own
    unpacking.unpack(bundle, folder)
    typer.echo(f"Run: {folder}")
