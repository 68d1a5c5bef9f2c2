"""The page of a repository, in the hub's format: what the file is, by its own record alone."""

import json
import re

from htbench.core import secrets
from htbench.core.errors import UsageError
from htbench.hub.contents import Content
from htbench.hub.repository import Repository

README = "README.md"
UNKNOWN = "unknown"
"""The hub's word for a licence that nobody stated."""
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,39}")
_MOST = 500
"""The most letters of a text of the record that are shown."""
_TITLES = {
    "bundle": "A run of htbench, as a bundle",
    "steering": "A trained steering method of htbench",
    "intervention": "A learnt intervention of htbench",
}
_ABOUT = {
    "bundle": "The results of steering methods on a text-to-image model: plan, pictures, scores, "
    "times, learnt interventions and the leaderboard in one file, which can be reported and "
    "verified without trust in who made it.",
    "steering": "It predicts, for any concept, the change of a text-to-image model's activations "
    "that adds the concept to its images. It was trained once on the concepts below.",
    "intervention": "A change of a text-to-image model's activations that adds one concept to its "
    "images, at any strength.",
}


def check_licence(text: str) -> str:
    """The licence as a hub spells it.

    Raises:
        UsageError: if it is no such word.
    """
    if not _LICENCE.fullmatch(text):
        raise UsageError(
            f"--license {text[:60]!r} is no licence of a hub",
            remedy="Write its identifier in small letters, such as apache-2.0, cc-by-4.0 or other.",
        )
    return text


def write(content: Content, repository: Repository, *, licence: str) -> str:
    """The text of the page: a header in YAML, the record, and the commands to use the file."""
    lines = [*_header(content, licence), f"# {_TITLES[content.kind]}", "", _ABOUT[content.kind], ""]
    lines += [f"| of `{content.name}` | as its record says |", "|---|---|"]
    lines += [f"| {heading} | {_shown(text)} |" for heading, text in content.rows]
    if licence == UNKNOWN:
        lines += ["", "Who published it has stated no licence."]
    commands = "\n".join(_commands(content, repository))
    lines += ["", "## Use", "", "```sh", commands, "```", ""]
    return secrets.scrub("\n".join(lines))


def _header(content: Content, licence: str) -> list[str]:
    tags = ["htbench", "activation-steering", "text-to-image"]
    return [
        "---",
        f"license: {json.dumps(licence)}",
        "library_name: htbench",
        *([f"base_model: {json.dumps(content.base)}"] if content.base else []),
        "tags:",
        *(f"- {tag}" for tag in tags),
        "---",
        "",
    ]


def _commands(content: Content, repository: Repository) -> list[str]:
    commands = [f"htbench pull {repository.id}"]
    if content.kind == "bundle":
        return [
            *commands,
            f"htbench verify {content.name} --again 20",
            f"htbench report {content.name} --open",
        ]
    if content.kind == "steering" and content.companion:
        model = f" --model {content.model}" if re.fullmatch(r"[\w.-]+", content.model) else ""
        return [*commands, f"htbench run{model} --method {content.companion_name}"]
    return commands


def _shown(text: str) -> str:
    """A text of a record as code, in which nothing is a link or markup."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    line = f"{line[:_MOST]}…" if len(line) > _MOST else line
    return f"`{line.replace('`', chr(39)).replace('|', chr(92) + '|')}`"
