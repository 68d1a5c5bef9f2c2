"""Objects in JSON as models write it: other quotes, bare words, a comma too many."""

from dataclasses import dataclass

_CLOSING = {
    '"': '"',
    "'": "'",
    "`": "`",
    "“": "”“",
    "”": "”",
    "„": '“”"',
    "«": "»",
    "»": "«",
    "‹": "›",
    "‘": "’‘",
    "’": "’",
    "‚": "‘’",
    "「": "」",
    "『": "』",
    "＂": "＂",
}
"""The quotes that may end a string, by the one that begins it."""
_SPACE = " \t\r\n\u00a0\u3000\ufeff"
_COLONS, _COMMAS = ":：=", ",，;；"
_MAX_DEPTH = 32


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A key of an object with its value."""

    key: str
    value: str | None
    """A string or bare word as it is written; None for an object or a list."""
    start: int
    """Index in the text of the value's first character, after a quote."""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The object at a place of a text."""

    pairs: list[Pair]
    """Pairs of objects within it are left out."""
    end: int | None
    """The index after it; None: there is none, and no pairs."""
    work: int
    """Number of characters that were read for it."""


def parse_loosely(text: str, start: int, *, most: int) -> Parsed:
    """The object whose brace is at `start`, if it ends within `most` characters."""
    parser = _Parser(text, min(len(text), start + max(0, most)))
    found = parser.object(start, 0)
    pairs, end = found or ([], None)
    return Parsed(pairs=pairs, end=end, work=parser.furthest - start)


class _Parser:
    def __init__(self, text: str, end: int) -> None:
        self._text, self._end = text, end
        self.furthest = 0
        """The index after the last character that was read."""

    def object(self, at: int, depth: int) -> tuple[list[Pair], int] | None:
        """The pairs of the object at the brace `at`, and the index after it; None without one."""
        pairs = list[Pair]()
        at = self._skip(at + 1, _SPACE)
        while at < self._end:
            if self._text[at] == "}":
                return pairs, at + 1
            key = self._string(at) or self._bare(at)
            if key is None:
                return None
            at = self._skip(key[2], _SPACE)
            if at >= self._end or self._text[at] not in _COLONS:
                return None
            value = self._value(self._skip(at + 1, _SPACE), depth)
            if value is None:
                return None
            pairs.append(Pair(key=key[0], value=value[0], start=value[1]))
            at = self._skip(value[2], _SPACE)
            if at < self._end and self._text[at] in _COMMAS:
                at = self._skip(at + 1, _SPACE)
            elif at < self._end and self._text[at] != "}":
                return None
        return None

    def _value(self, at: int, depth: int) -> tuple[str | None, int, int] | None:
        """A value, its first index and the index after it."""
        if at >= self._end or depth >= _MAX_DEPTH:
            return None
        if self._text[at] == "{":
            inner = self.object(at, depth + 1)
            return inner and (None, at, inner[1])
        if self._text[at] == "[":
            return self._list(at, depth + 1)
        return self._string(at) or self._bare(at)

    def _list(self, at: int, depth: int) -> tuple[None, int, int] | None:
        start, at = at, self._skip(at + 1, _SPACE)
        while at < self._end:
            if self._text[at] == "]":
                return None, start, at + 1
            value = self._value(at, depth)
            if value is None:
                return None
            at = self._skip(value[2], _SPACE + _COMMAS)
        return None

    def _string(self, at: int) -> tuple[str, int, int] | None:
        """A string in quotes; one ends only where a comma, a colon or a bracket follows."""
        closing = _CLOSING.get(self._text[at])
        if closing is None:
            return None
        k = at + 1
        while k < self._end:
            if self._text[k] == "\\":
                k += 2
                continue
            if self._text[k] in closing:
                after = self._skip(k + 1, _SPACE)
                if after < self._end and self._text[after] in _COLONS + _COMMAS + "}]":
                    return self._text[at + 1 : k], at + 1, k + 1
            k += 1
        self.furthest = max(self.furthest, k)
        return None

    def _bare(self, at: int) -> tuple[str, int, int] | None:
        """A word or number without quotes."""
        k = at
        while k < self._end and self._text[k] not in _COLONS + _COMMAS + '{}[]\n"“”„«»':
            k += 1
        word = self._text[at:k].rstrip()
        return (word, at, at + len(word)) if word else None

    def _skip(self, at: int, letters: str) -> int:
        while at < self._end and self._text[at] in letters:
            at += 1
        self.furthest = max(self.furthest, at)
        return at
