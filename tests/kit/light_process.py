"""Commands of htbench, one after another in one process that has core dependencies alone.

It reads a list of commands as JSON and prints a list of `[exit code, output]`. Neither packages of
extras nor modules and functions of Unix are there.
"""

import importlib.abc
import io
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

EXTRAS = frozenset(
    [
        "cachetools",
        "datasets",
        "diffusers",
        "evalica",
        "lpips",
        "matplotlib",
        "mlflow",
        "open_clip",
        "ot",
        "pandas",
        "pyarrow",
        "ray",
        "starlette",
        "torch",
        "torchvision",
        "trackio",
        "transformers",
        "uvicorn",
        "wandb",
        "wordllama",
    ]
)
_UNIX_MODULES = frozenset(["fcntl", "grp", "pwd", "resource", "termios"])
_UNIX_NAMES = {
    os: ["fork", "getloadavg", "killpg", "nice", "sched_getaffinity"],
    signal: ["SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1"],
}


class _NotThere(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name.partition(".")[0] in EXTRAS | _UNIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def run(commands: Sequence[Sequence[str]], *, cwd: Path) -> list[tuple[int, str]]:
    """The exit code and the output of each command, all of them in one process in `cwd`."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "kit.light_process"],
        input=json.dumps(commands),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=300,
    )
    return [(code, output) for code, output in json.loads(answer.stdout)]


def _main() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in _UNIX_MODULES]:
        del sys.modules[name]
    sys.meta_path.insert(0, _NotThere())
    for module, names in _UNIX_NAMES.items():
        for name in names:
            delattr(module, name)
    json.dump([_run(words) for words in json.load(sys.stdin)], sys.stdout)


def _run(words: Sequence[str]) -> tuple[int, str]:
    from htbench.__main__ import main

    sys.argv = ["htbench", *words]
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), output.getvalue()
        except Exception:  # the other commands have their turn
            return 1, output.getvalue() + traceback.format_exc()
    return 0, output.getvalue()


if __name__ == "__main__":
    _main()
