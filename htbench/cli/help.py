"""Help pages of commands: options in panels, commands in groups, examples, no sentence cut.

They are plain text, since rich alone would take a third of the time that `htbench --help` may take.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

from htbench.core.errors import UsageError

# Typer ships the types of click under a private name, hence `Any` for contexts and parameters.

_FORMER_OPTIONS = {
    "--out": "--runs-dir",
    "--into": "--out",
    "--split": "--concepts",
    "--concepts": "--concept-set",
}
"""Options of version 0.1.0 with their names of today, for the commands that have only the latter.
"""
_OTHER_PANEL = "Options"


class HelpCommand(TyperCommand):
    """A command whose help shows options by `rich_help_panel`, and its epilog as examples."""

    def defaults(self) -> Mapping[str, object]:
        """Defaults by parameter that are not in the command's signature."""
        return {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command line.

        Raises:
            UsageError: for an option by the name that it had in version 0.1.0.
        """
        _refuse_former_options(self.params, args)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line after the command's name."""
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        return ["[OPTIONS]", *map(_signature, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a panel after the other."""
        _write_panels(self.get_params(ctx), self.defaults(), formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(self.epilog, formatter)


class HelpGroup(TyperGroup):
    """A group of commands whose help shows them by `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                rows = panels.setdefault(_panel(command, "Commands"), [])
                rows.append((name, _first_sentence(command.help or "")))
        _write_sections(panels, formatter)
        _write_panels(self.get_params(ctx), {}, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(self.epilog, formatter)


def _refuse_former_options(params: Iterable[Any], words: Iterable[str]) -> None:
    known = {option for param in params for option in param.opts}
    for word in words:
        option = word.partition("=")[0]
        today = _FORMER_OPTIONS.get(option)
        if option == "--":
            return
        if option not in known and today in known:
            raise UsageError(f"{option} is now {today}", remedy=f"Write it as {today}.")


def _write_panels(params: Iterable[Any], defaults: Mapping[str, object], formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        if not getattr(param, "hidden", False):
            is_argument = param.param_type_name == "argument"
            name = "Arguments" if is_argument else _panel(param, _OTHER_PANEL)
            text = param.help or ""
            if default := _default(param, defaults):
                text = f"{text} [default: {default}]"
            panels.setdefault(name, []).append((_signature(param), text))
    if others := panels.pop(_OTHER_PANEL, None):
        panels[_OTHER_PANEL] = others  # --help and its like come last
    _write_sections(panels, formatter)


def _write_sections(
    panels: Mapping[str, list[tuple[str, str]]], formatter: Any, *, most: int = 28
) -> None:
    """Write lists of definitions below their titles, all with one column for the names."""
    width = max((len(name) for rows in panels.values() for name, _ in rows), default=0)
    for title, rows in panels.items():
        with formatter.section(title):
            formatter.write_dl([(f"{name:<{min(width, most)}}", text) for name, text in rows], most)


def _write_examples(epilog: str | None, formatter: Any) -> None:
    if epilog:
        with formatter.section("Examples"):
            formatter.write(textwrap.indent(f"{epilog.strip()}\n", " " * formatter.current_indent))


def _panel(item: Any, otherwise: str) -> str:
    """The panel of a parameter or command; `otherwise` where it names none."""
    name = getattr(item, "rich_help_panel", None)
    return name if isinstance(name, str) else otherwise


def _signature(param: Any) -> str:
    """`-v, --verbose`, `--limit N` or `RUN`."""
    if param.param_type_name == "argument":
        name = param.metavar or param.name.upper()
        return name if param.required else f"[{name}]"
    options = ", ".join(sorted([*param.opts, *param.secondary_opts], key=len))
    return options if param.is_flag or param.count else f"{options} {param.metavar or 'TEXT'}"


def _default(param: Any, defaults: Mapping[str, object]) -> str:
    """The default as words; empty for none."""
    if isinstance(param.show_default, str):
        return param.show_default
    value = defaults.get(param.name, param.default)
    if value is None or value is False or value in ("", (), []) or callable(value):
        return ""
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, tuple | list):
        separator = ", " if isinstance(value[0], str) else ","
        return separator.join(map(_text, value))
    return _text(value)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_sentence(text: str) -> str:
    """The first sentence of a command's help."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).partition(". ")[0].rstrip(".") + "."
