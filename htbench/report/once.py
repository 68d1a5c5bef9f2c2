"""Parts of a report that several pages and tables show, computed once for each summary."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from htbench.run.summary import Summary

Part = TypeVar("Part")


def once(collect: Callable[[Summary], Part]) -> Callable[[Summary], Part]:
    """`collect` with its result kept as long as the summary."""

    @wraps(collect)
    def kept(summary: Summary) -> Part:
        if collect not in summary.parts:
            summary.parts[collect] = collect(summary)
        part: Part = summary.parts[collect]
        return part

    return kept
