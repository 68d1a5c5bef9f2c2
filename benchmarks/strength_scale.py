"""The tables of docs/strength.md, from nothing: `python benchmarks/strength_scale.py`.

It runs the plan `strength-scale`, or continues it, and prints the evenness of each method's steps
before and after, and its useful range. With `--write docs/strength.md` each table goes to its place
in that page, between the comments `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from htbench.report import format
from htbench.report.sections import strength_ranges, strength_scales
from htbench.report.sections.strength_ranges import RangeSection
from htbench.report.sections.strength_scales import ScaleSection
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats.estimates import Estimate

PLAN = "strength-scale"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def estimate(value: Estimate, *, signed: bool = False) -> str:
    def number(each: float) -> str:
        return format.score(each, signed=signed).replace("−", "-")

    return format.estimate(value, number)


def evenness(section: ScaleSection) -> str:
    """The evenness of steps on the plain and on the perceptual scale, by method."""
    asked = ", ".join(f"{at:g}" for at in section.requested)
    head = ["method", f"own strengths for {asked}", "before", "after", "difference", "more even"]
    rows = [
        [
            f"`{row.method}`",
            row.own_strengths,
            estimate(row.comparison.before),
            estimate(row.comparison.after),
            estimate(row.comparison.difference, signed=True),
            row.verdict,
        ]
        for row in section.rows
        if row.comparison
    ]
    return table(head, rows)


def ranges(section: RangeSection) -> str:
    """The useful range of each method."""
    head = ["method", "noticeable from", "ends at", "by", "found on dev concepts"]
    rows = [[f"`{row.method}`", row.onset, row.end, row.reason, row.on_dev] for row in section.rows]
    return table(head, rows)


def write(page: Path, name: str, own: str) -> None:
    """Put a table in its place in `page`."""
    start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    if not found:
        raise SystemExit(f"{page} has no place {start.strip()}")
    text = f"{before}{start}\n{own}\n\n{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--workers", default="1")
    parser.add_argument("--limit", help="held-out concepts; those of the plan unless given")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables in this page")
    options = parser.parse_args()
    command = [sys.executable, "-m", "htbench", "run", PLAN, "--workers", options.workers]
    limit = ["--limit", options.limit] if options.limit else []
    name = f"{PLAN}-{options.limit}" if options.limit else PLAN
    place = ["--runs-dir", str(options.runs_dir), "--name", name]
    subprocess.run([*command, *limit, *place], check=True)
    with Store.read(options.runs_dir / name) as store:
        summary = Summary(store)
        scales, found = strength_scales.collect(summary), strength_ranges.collect(summary)
    if scales is None or found is None:
        raise SystemExit(f"run {name} has no scale or no range")
    for title, own in {"evenness": evenness(scales), "ranges": ranges(found)}.items():
        if options.write:
            write(options.write, title, own)
        else:
            print(f"{title}\n\n{own}\n")


if __name__ == "__main__":
    main()
