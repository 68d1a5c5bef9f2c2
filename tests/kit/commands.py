"""`htbench` as a user starts it: in a process of its own."""

import subprocess
import sys
from pathlib import Path


def htbench(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of htbench; gives its exit code and output."""
    return subprocess.run(
        [sys.executable, "-m", "htbench", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def imports_torch(*words: str) -> bool:
    """True if a command of htbench imports torch."""
    script = f"""
import sys
sys.argv = ["htbench", *{words!r}]
from htbench.__main__ import main
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return answer.stdout.splitlines()[-1] == "True"
