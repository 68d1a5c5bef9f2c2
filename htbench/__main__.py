"""The entry point of `htbench` and `python -m htbench`: how every command ends.

A user's mistake ends in two lines on stderr and an exit code, a bug in a traceback.
"""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htbench.core import interrupts, secrets

if TYPE_CHECKING:
    from htbench.core.errors import HtbenchError

_FILE_ERRORS = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.ENOTDIR,
)
"""Errors of the operating system that another folder or file mends."""


class _ScrubbedStream:
    """A stream of text that shows no secret."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(secrets.scrub(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def main() -> None:
    """Run the command that the words on the command line name."""
    interrupts.install()
    try:
        _prepare_streams()
        from htbench.core.errors import HtbenchError

        try:
            from htbench import cli

            cli.app(prog_name="htbench")
        except HtbenchError as error:
            _fail(error)
        except OSError as error:
            _fail(_from_os_error(error))
        except ModuleNotFoundError as error:
            _fail(_from_import_error(error))
    except interrupts.Interrupted as error:
        sys.stderr.write(
            "htbench: interrupted; what was finished is kept\nThe same command continues.\n"
        )
        sys.exit(error.exit_code)


def _prepare_streams() -> None:
    """Closed output goes nowhere; what its encoding lacks is escaped; secrets are hidden."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if not isinstance(stream, _ScrubbedStream):
            setattr(sys, name, _ScrubbedStream(stream))


def _from_os_error(error: OSError) -> "HtbenchError":
    """The machine's refusal in one line; raises `error` again if it is a bug instead."""
    from htbench.core.errors import Missing, no_space

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space()
    if error.errno in _FILE_ERRORS:
        return Missing(
            f"{error.strerror}: {str(error.filename)[:300]!r}",
            remedy="Choose another folder or file.",
        )
    if error.errno == errno.ENOENT and not _has_working_folder():
        return Missing("the folder that you are in was deleted", remedy="Go to another one.")
    raise error


def _from_import_error(error: ModuleNotFoundError) -> "HtbenchError":
    """The extra that is not installed; raises `error` again if it is a bug instead."""
    from htbench.core.errors import not_installed

    missing_extra = not_installed(error)
    if missing_extra is None:
        raise error
    return missing_extra


def _has_working_folder() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _fail(error: "HtbenchError") -> None:
    from htbench.core.display import printable

    lines = [f"htbench: {error}", *([error.remedy] if error.remedy else [])]
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
