"""The tables of docs/tasks.md, from nothing: `python benchmarks/tasks.py`.

It runs the plans `remove`, `replace` and `compose`, or continues them, and prints their
leaderboards. With `--write docs/tasks.md` each goes to its place in the page, between the comments
`<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from results import table, write

from htbench.report.sections import task
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats.families import Families

PLANS = ("remove", "replace", "compose")
"""Shipped plans, each with a table of its name."""


def leaderboard(summary: Summary) -> str:
    """All measures and times of a run's task."""
    section = task.collect(summary)
    assert section, "the plan has a task"
    head, rows = task.text_rows(summary, section)
    pairs = list(summary.facts.task.members)
    concepts = pairs or list(summary.facts.concepts)
    noun = "pairs of concepts" if pairs else "concepts"
    clusters = Families.of(concepts, summary.families).clusters
    return "\n\n".join(
        [
            table(head, [[f"`{row[0]}`", *row[1:]] for row in rows]),
            f"Ranked by {section.ranked_by}. Mean over {len(concepts)} {noun}, {clusters:.3g} "
            f"independent of each other [95 % interval]; {summary.done:,} of {summary.planned:,} "
            "cells done.",
            *(
                f"`{row.method}` is not ranked: {row.unranked}."
                for row in section.rows
                if row.unranked
            ),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--workers", default="2")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables in this page")
    options = parser.parse_args()
    tables = {}
    for plan in PLANS:
        command = [sys.executable, "-m", "htbench", "run", plan, "--workers", options.workers]
        subprocess.run([*command, "--runs-dir", str(options.runs_dir), "--name", plan], check=True)
        with Store.read(options.runs_dir / plan) as store:
            tables[plan] = leaderboard(Summary(store))
    if options.write:
        write(options.write, tables)
    else:
        print("\n\n".join(f"{name}\n\n{own}" for name, own in tables.items()))


if __name__ == "__main__":
    main()
