"""Seconds, images and judge calls of a newcomer against bundles of more and more methods.

python benchmarks/against.py                      the embedded model, bundles of 1, 3 and 5 methods
python benchmarks/against.py --limit 12 --newcomer lineas-l2 --sizes 1 5

Prints a table in Markdown with a row per bundle: what the newcomer took against it, and what a run
of all methods together took. Seconds are those of the processor in this process, so that other work
on the machine does not count: for a CPU (CUDA_VISIBLE_DEVICES=). The judge is `clip`, by one
criterion. Figures of the newcomer should be those of the run of all methods: the last column is the
largest difference of a score.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from htbench.bundles import against
from htbench.bundles.pack import pack
from htbench.core.display import Display
from htbench.judging.card import load_judge_card
from htbench.judging.ledger import Ledger
from htbench.judging.prepare import TournamentOptions, prepare_tournament
from htbench.judging.schedule import ScheduleSettings
from htbench.run import plan as plans
from htbench.run import runner
from htbench.run.plan import RunOptions
from htbench.run.store import Store

METHODS = ("prompt", "prompt-interp", "mean-shift", "gaussian-ot", "mean-shift-published")
Result = TypeVar("Result")
Settings = dict[str, object]


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of `work`, and the processor seconds that it took in this process."""
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def run_all(folder: Path, methods: tuple[str, ...], settings: Settings) -> None:
    """A run of all methods together, which takes nothing over."""
    plan = plans.build({**settings, "methods": methods})
    runner.run(plan, folder, RunOptions(reuse=False, threads=1))


def run_newcomer(bundle: Path, method: str) -> Path:
    """The folder of a newcomer's run against a bundle, which takes nothing over."""
    options = RunOptions(reuse=False, threads=1, runs=str(bundle.parent / "newcomers"))
    newcomer = against.prepare(bundle, [{"methods": [method]}], options)
    with against.seeding(newcomer):
        runner.run_resolved(newcomer.plan, newcomer.folder, options, against=newcomer.sha256)
    return newcomer.folder


def judge(folder: Path) -> int:
    """Play the tournament of a run; gives the number of calls that were made for it."""
    card = load_judge_card("clip")
    with Ledger.open(folder) as ledger:
        options = TournamentOptions(criteria=("overall",), schedule=ScheduleSettings(controls=0))
        tournament = prepare_tournament(folder, ledger, card, options, Display())
        before = ledger.model_usage(tournament.judge.model).calls
        tournament.play()
        return ledger.model_usage(tournament.judge.model).calls - before


def made(folder: Path) -> int:
    """Number of images that the run itself generated."""
    with Store.read(folder) as store:
        own = [session.id for session in store.sessions() if not session.run]
        query = f"SELECT count(*) FROM images WHERE session IN ({','.join(map(str, own))})"
        ((number,),) = store.select(query)
        return int(number)


def largest_difference(one: Path, two: Path) -> float:
    """Largest difference of a score between two runs of the same cells."""
    query = """SELECT method, concept, prompt, seed, strength, metric, value
               FROM scores JOIN cells ON cell = id WHERE value IS NOT NULL"""
    with Store.read(one) as store, Store.read(two) as other:
        first, second = (
            {tuple(row[:-1]): row[-1] for row in each.select(query)} for each in (store, other)
        )
    if first.keys() != second.keys():
        raise SystemExit(f"{one} and {two} have other cells")
    return max(abs(first[key] - second[key]) for key in first)


def measure(place: Path, methods: tuple[str, ...], newcomer: str, settings: Settings) -> str:
    """A row of the table, for a bundle of these methods that is made in the folder `place`."""
    run_all(place / "base", methods, settings)
    judge(place / "base")
    bundle = pack(place / "base", place / "base.bundle.zip").path
    _, whole = timed(lambda: run_all(place / "whole", (*methods, newcomer), settings))
    folder, alone = timed(lambda: run_newcomer(bundle, newcomer))
    calls, asked = timed(lambda: judge(folder))
    difference = largest_difference(folder, place / "whole")
    return (
        f"| {len(methods)} | {alone:.1f} | {made(folder)} | {asked:.1f} | {calls} "
        f"| {whole:.1f} | {made(place / 'whole')} | {difference:.1g} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--newcomer", default="linear-act", metavar="METHOD")
    parser.add_argument("--limit", type=int, default=4, metavar="N", help="concepts")
    parser.add_argument("--prompts", type=int, default=2, metavar="N")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 3, 5], metavar="N", help="methods of bundles"
    )
    options = parser.parse_args()
    settings: Settings = {"limit": options.limit, "prompts": options.prompts}
    print(
        "| methods of the bundle | newcomer: s | images | judge: s | calls | all together: s "
        "| images | largest difference |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="htbench-") as temporary:
            print(measure(Path(temporary), METHODS[:size], options.newcomer, settings), flush=True)


if __name__ == "__main__":
    main()
