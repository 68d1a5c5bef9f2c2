"""`htbench` as a user starts it: in a process of its own.

The processes are forks of one that has imported what most commands import, which takes seconds.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["htbench.cli", "htbench.models.emoji.model", "htbench.run.runner"])


def htbench(
    *words: str, cwd: Path | None = None, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of htbench, with `path` in Python's path; gives its exit code and output."""
    with tempfile.TemporaryDirectory() as folder:
        process = start(*words, cwd=cwd, path=path, output=Path(folder))
        process.join()
        stdout, stderr = (
            (Path(folder) / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")
        )
    return subprocess.CompletedProcess(words, process.exitcode or 0, stdout, stderr)


def start(
    *words: str, cwd: Path | None = None, path: Path | None = None, output: Path | None = None
) -> BaseProcess:
    """Start a command of htbench, which leads a process group of its own.

    Args:
        words: those after `htbench`.
        cwd: its working folder, by default that of the tests.
        path: a folder with modules of its own.
        output: the folder that gets its files `stdout` and `stderr`; without it they go nowhere.
    """
    variables = dict(os.environ)
    if path:
        before = filter(None, [variables.get("PYTHONPATH")])
        variables["PYTHONPATH"] = os.pathsep.join([str(path), *before])
    process = _context.Process(target=_run, args=(words, str(cwd or Path.cwd()), variables, output))
    process.start()
    return process


def _run(words: tuple[str, ...], cwd: str, variables: dict[str, str], output: Path | None) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    for number, name in ((1, "stdout"), (2, "stderr")):
        path = output / name if output else Path(os.devnull)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.path[:0] = ["", *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["htbench", *words]
    from htbench.__main__ import main

    main()


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
