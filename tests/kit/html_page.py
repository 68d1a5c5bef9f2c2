"""A parsed page of HTML."""

import json
from collections import defaultdict
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """A page's tags with their attributes, its text, and its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.data: dict[str | None, list[str]] = defaultdict(list)
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.data[self.cdata_elem].append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.data[None]).split())

    @property
    def gallery(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.data["script"][0])
        return data

    @property
    def shard(self) -> dict[str, Any]:
        """The cells of the first prompt."""
        data: dict[str, Any] = json.loads(self.data["script"][2])
        return data
