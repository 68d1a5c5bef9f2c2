"""`htbench verify`: whether a bundle is what it says."""

import secrets
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import (
    OUTPUT,
    Device,
    Json,
    ModelOption,
    Weights,
    load_options,
)
from htbench.cli.pack import BundleFile
from htbench.core import content, reading
from htbench.core.errors import Refused

_WORDS = {"holds": "hold", "differs": "differ", "unchecked": "cannot be checked here"}
_MARKS = {"holds": "✓", "differs": "✗", "unchecked": "–"}


def verify(
    bundle: BundleFile,
    again: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Number of pictures, drawn at random, that are made again."
        ),
    ] = 20,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Seed of the draw, to repeat a verification.",
            show_default="a new one each time",
        ),
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Fit the interventions of these pictures anew too; without it those of methods "
            "that fit each concept are taken from the bundle.",
        ),
    ] = False,
    concept_set: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The run's own concept set, where it is not a shipped one.",
            show_default=False,
        ),
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Public keys that may sign: lines of a name and a key. A bundle without a "
            "signature by one of them is refused.",
            show_default=False,
        ),
    ] = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Write the findings beside the bundle, as BUNDLE.verification.json, where htbench "
            "board reads them.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    weights: Weights = None,
    model_option: ModelOption = None,
    device: Device = None,
    as_json: Json = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Print only what differs.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Check that a bundle is what it says: make its scores anew from its pictures, and a sample of
    its pictures from the model. Exit code 5 if anything differs.
    """
    from htbench.bundles import verification_record
    from htbench.bundles import verify as verification
    from htbench.bundles.remake import RemakeOptions
    from htbench.core.display import Display, print_json, printable

    reading.find_file(bundle, noun="bundle")
    chosen = secrets.randbits(32) if seed is None else seed
    options = verification.VerifyOptions(
        again=RemakeOptions(
            number=again,
            seed=chosen,
            refit=refit,
            load_options=load_options(weights, model_option) if weights or model_option else None,
            device=device,
        ),
        concept_set=concept_set,
        signers=signers,
    )
    if as_json:
        print_json(event="draw", seed=chosen, number=again)
    elif not quiet and again:
        typer.echo(f"Pictures are drawn by seed {chosen}; --seed {chosen} draws the same.")
    digest = content.full_file_digest(bundle) if record else ""
    counts, findings = Counter[str](), []
    for finding in verification.verify(bundle, options, display=Display()):
        counts[finding.kind] += 1
        findings.append(finding)
        if as_json:
            print_json(event="finding", kind=finding.kind, what=finding.what)
        elif finding.kind == "differs" or not quiet:
            typer.echo(f"{_MARKS[finding.kind]} {printable(finding.what, max_length=600)}")
    if as_json:
        print_json(event="end", **{kind: counts[kind] for kind in _MARKS})
    elif not quiet:
        parts = (f"{counts[kind]} {words}" for kind, words in _WORDS.items())
        typer.echo(f"Findings: {', '.join(parts)}.")
    if record:
        written = verification_record.write(
            bundle, findings, sha256=digest, seed=chosen, again=again
        )
        if as_json:
            print_json(event="record", path=str(written))
        elif not quiet:
            typer.echo(f"Record: {written}")
    if different := counts["differs"]:
        raise Refused(
            f"bundle {str(bundle)[:300]!r} is not what it says: "
            f"{different} finding{'s differ' if different > 1 else ' differs'}",
            remedy="Lines with ✗ name what.",
        )
