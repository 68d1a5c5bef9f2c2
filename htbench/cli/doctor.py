"""`htbench doctor`: what this machine has and lacks."""

from dataclasses import asdict

import typer

from htbench.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Look at devices, versions, caches and what each model needs; exit code 4 if anything is missing."""
    from htbench import doctor
    from htbench.voice import plain, print_json

    ill = 0
    for sign in doctor.examine():
        ill += not sign.well
        if as_json:
            print_json(**asdict(sign))
        else:
            mark = "✗" if not sign.well else "✓" if sign.there else "–"
            typer.echo(f"{mark} {sign.what:<28} {plain(sign.found, longest=500)}")
    raise typer.Exit(4 if ill else 0)
