"""The times that htbench ships for a model, from finished runs of it.

python benchmarks/forecast.py RUN... > reports/timings/emoji.toml

Forecasts use them where no run of the user's own has timed something. The file of the embedded
model is of `htbench run quickstart` on two otherwise idle cores.
"""

import argparse
from importlib.metadata import version
from pathlib import Path

from htbench.run.forecast import PastRun, past_run
from htbench.run.store import Store
from htbench.run.summary import Summary


def main() -> None:
    """Print the file; of several runs that timed the same thing, the first counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    folders = parser.parse_args().runs
    runs: list[PastRun] = []
    for folder in folders:
        with Store.read(folder) as store:
            summary = Summary(store)
            machine = summary.facts.environment.stored
            runs.append(past_run(summary))
    cores = f"{machine.get('cpu')}, {machine.get('threads')} threads"
    fits = {name: seconds for run in reversed(runs) for name, seconds in run.fit_seconds.items()}
    trained = {
        name: seconds
        for run in reversed(runs)
        for name, seconds in run.training_seconds.items()
        if seconds
    }
    print("# Made by: python benchmarks/forecast.py")
    print(f'about = "times that htbench {version("htbench")} ships, of {cores}"')
    print(f"image = {runs[0].image_seconds:.3g}\nscore = {runs[0].score_seconds:.3g}")
    print(f"image_bytes = {runs[0].image_bytes:.0f}.0")
    for title, seconds in (("fit", fits), ("training", trained)):
        print(f"\n# seconds per {'concept' if title == 'fit' else 'training'}\n[{title}]")
        for name, value in sorted(seconds.items()):
            print(f"{name} = {float(f'{value:.2g}')}")


if __name__ == "__main__":
    main()
