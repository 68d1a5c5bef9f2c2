"""Systems other than Linux, as far as Linux allows: modules that are not there."""

import subprocess
import sys
from pathlib import Path

from kit import report_run

READ = """
import sys

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
from pathlib import Path

import htbench
from htbench.core import locks

run = htbench.open(Path(sys.argv[1]))
print(len(run.leaderboard()))
with locks.locked(Path(sys.argv[1]), noun="the run"):
    print(Path(run.report()).name)
"""


def test_runs_are_read_where_modules_of_unix_are_missing(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", concepts=2, prompts=("a cat",))
    command = [sys.executable, "-W", "ignore", "-c", READ, str(run)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.stdout.split() == ["6", "report.html"]
