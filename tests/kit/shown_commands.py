"""Commands of htbench in the shell blocks of README and docs, and the files that pages show."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / name
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md")
    for name in sorted(path.relative_to(ROOT) for path in ROOT.glob(pattern))
]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"<!-- ([^\s/]+\.\w+) -->\n```\w+\n(.*?)```\n", flags=re.DOTALL)
_FOLDER = re.compile(r"^mkdir (\S+)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command of htbench, without the name of the program."""

    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    """Variables of the environment that stand before it."""

    def __str__(self) -> str:
        return " ".join(self.words)


def commands(page: Path) -> list[Command]:
    """The commands in the shell blocks of a page, each once."""
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(command for line in lines for command in in_line(line)))


def in_line(line: str) -> Iterator[Command]:
    """The commands of htbench in a line of shell, also behind a launcher such as torchrun."""
    for part in line.split("&&"):
        words = shlex.split(part, comments=True)
        for place, word in enumerate(words):
            before = words[:place]
            is_program = all("=" in item for item in before) or before[-1] in ("-m", "--")
            if Path(word).name == "htbench" and is_program:
                variables = (item.partition("=") for item in before if "=" in item)
                pairs = tuple((name, value) for name, _, value in variables)
                yield Command(tuple(words[place + 1 :]), pairs)
                break


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows below comments with their names, and make its folders."""
    text = page.read_text(encoding="utf-8")
    for name in _FOLDER.findall(text):
        (folder / name).mkdir()
    for name, content in _FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")
