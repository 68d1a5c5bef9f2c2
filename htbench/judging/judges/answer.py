"""The answer in a judge's text, apart from its thoughts, and the one verdict in it.

A verdict counts only if it is the last word: where another one is said after it, or beside it, the
text has none.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from htbench.core import reading
from htbench.judging.judges.loose_json import Pair, parse_loosely

Word = Literal["A", "B", "tie", "cannot_judge"]
MAX_LENGTH = 1 << 18
"""The longest answer, without thoughts, that a verdict is searched for in, in characters."""
_MAX_OBJECTS = 200
"""The most braces that are tried as the beginning of an object."""
_MAX_WORK = 1 << 21
"""The most characters that are read in all for objects."""
_NAMES = r"think\w{0,60}|thoughts?|reasoning|reflection|analysis|scratchpad|details|seed:think"
_LEFT, _RIGHT = r"(?:<|&lt;)\|?\s{0,9}", r"\s{0,9}\|?(?:>|&gt;)"
_OPENS = re.compile(
    rf"{_LEFT}(?:{_NAMES})(?:\s[^<>/]{{0,100}})?{_RIGHT}|\[THINK\]|◁\s?think\s?▷"
    r"|<\|begin_of_thought\|>|<\|START_THINKING\|>|<\|channel>\s?thought\b|<unused94>",
    re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"{_LEFT}/\s{{0,9}}(?:{_NAMES}){_RIGHT}|\[/THINK\]|◁\s?/\s?think\s?▷"
    r"|<\|end_of_thought\|>|<\|END_THINKING\|>|<channel\|>|<unused95>",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>\s{0,9}(\w{1,40})(?:[^\n{}]{0,80}?<\|message\|>)?")
_FINAL_WITHOUT_MARKERS = re.compile(r"\A\s{0,9}analysis.*assistantfinal", re.DOTALL)
_WRAPPERS = re.compile(
    r"<\|[A-Za-z_]{1,40}\|>|</?(?:answer|verdict|final|response|output|s)>",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\boxed\s?\{([^{}\n]{1,20})\}")
_MARKS = r"""[\s*_#>"'`.:!(){}\[\]“”„«»‘’‹›「」：-]*"""
_WORD = (
    r"(?:(?:the |my )?(?:picture|image|photo|option|answer)[\s:]{1,3})?[*_`\"'(]{0,4}"
    r"(?P<word>A|B|tie|cannot[ _-]?judge|can't judge)"
)
_VALUE = re.compile(rf"^{_MARKS}{_WORD}{_MARKS}$", re.IGNORECASE)
_LINE_MARKS = r"""[\s*_#>"'`.:!()“”„«»‘’‹›「」：-]*"""
_LAST_LINE = re.compile(
    rf"^{_LINE_MARKS}(?P<named>(?:(?:my |the |final |overall )*(?:verdict|answer|winner|choice)"
    rf"(?: is)?{_LINE_MARKS})?){_WORD}{_LINE_MARKS}$",
    re.IGNORECASE,
)
_MENTION = re.compile(
    r"\b(?P<letter>[AB])\b|\b(?i:picture|image|photo|option)[\s:]{1,3}(?P<small>[ab])\b"
    r"|[\"'“‘«]\s?(?P<quoted>[ab])\s?[\"'”’»]"
    r"|\b(?P<tie>(?i:ties?|tied|draw))\b|\b(?P<abstain>(?i:cannot[ _-]?judge|can't judge))\b"
)
_FORM = re.compile(r"^\W*(?:one |a |your |the )*(?:sentence|reason|explanation|text)?\W*$", re.I)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The verdict of a text."""

    word: Word
    reason: str
    start: int
    """Index in the text of the verdict's first letter."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """A text, with the place where its thoughts end."""

    text: str
    start: int
    """Index of the answer's first character; the length of the text where it has no answer."""
    thought: str

    @property
    def answer(self) -> str:
        """The part after all thoughts."""
        return self.text[self.start :]


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """A verdict that an object or a line of an answer says."""

    word: Word
    reason: str
    start: int
    end: int

    @property
    def is_form(self) -> bool:
        """True if it may be the form of an answer, with nothing in the place of its reason."""
        return bool(_FORM.match(self.reason)) and bool(self.reason)


class NoVerdict(ValueError):
    """A text without a verdict that counts; the message says why, in one line."""


def split_thoughts(text: str) -> Split:
    """The text in its thoughts and its answer: that is what stands after the last thought.

    A thought that does not end leaves no answer. Linear in the length of the text.
    """
    start = 0
    for match in _CHANNEL.finditer(text):
        start = match.end() if match[1].lower() == "final" else len(text)
    if found := _FINAL_WITHOUT_MARKERS.match(text):
        start = max(start, found.end())
    for match in _CLOSES.finditer(text):
        start = max(start, match.end())
    opening = next((match.start() for match in _OPENS.finditer(text, start)), None)
    if opening is not None:
        start = len(text)
    thought = _OPENS.sub("", _CLOSES.sub("", text[:start])).strip()
    return Split(text=text, start=start, thought=thought)


def find_answer(text: str) -> Answer:
    """The verdict of a text, after its thoughts.

    The last object with a verdict counts, and without any the last line. Letters may be of either
    case, the reason may be missing, and JSON may have other quotes or a comma too many.

    Raises:
        NoVerdict: if there is none, or if the answer says several that differ.
    """
    split = split_thoughts(text)
    if not split.answer.strip():
        kind = "only a thought" if split.thought else "empty"
        raise NoVerdict(f"the reply is {kind}")
    shown = repr(split.answer.strip()[:200])
    if len(split.answer) > MAX_LENGTH:
        raise NoVerdict(f"no verdict in {shown}, which is too long")
    answer = _blank_wrappers(split.answer)
    statements = list(_objects(answer)) or list(_lines(answer))
    if not statements:
        raise NoVerdict(f"no verdict in {shown}")
    last = statements[-1]
    drafts = [each for each in statements[:-1] if not each.is_form]
    closed = bool(split.start)
    if not closed and any(each.word != last.word for each in drafts):
        raise NoVerdict(f"verdicts that contradict each other in {shown}")
    if others := _mentions(answer[last.end :]) - {last.word}:
        raise NoVerdict(f"{last.word} and then {sorted(others)[0]} in {shown}")
    return Answer(word=last.word, reason=last.reason, start=split.start + last.start)


def _blank_wrappers(text: str) -> str:
    """The text with markers that wrap an answer as spaces, so that no place in it moves."""
    text = _BOX.sub(lambda match: f"{match[1]} ".rjust(len(match[0])), text)
    return _WRAPPERS.sub(lambda match: " " * len(match[0]), text)


def _objects(text: str) -> Iterator[_Statement]:
    """Statements of the outermost objects with a verdict, from first to last.

    An object whose verdict is none, such as the form of a reply, says nothing.
    """
    position, work = 0, _MAX_WORK
    for _ in range(_MAX_OBJECTS):
        if (brace := text.find("{", position)) < 0:
            return
        position = brace + 1
        parsed = parse_loosely(text, brace, most=work)
        work -= parsed.work
        if parsed.end is None:
            continue
        verdicts = [pair for pair in parsed.pairs if _is_named(pair, "verdict")]
        if not verdicts or all(pair.value is None for pair in verdicts):
            continue  # it may be in an object within
        position = parsed.end
        words = [_value(pair.value) for pair in verdicts]
        last = words[-1]
        if last is None or any(word is None or word[0] != last[0] for word in words):
            continue
        reasons = [pair.value for pair in parsed.pairs if _is_named(pair, "reason")]
        yield _Statement(
            word=last[0],
            reason=_unescaped((reasons and reasons[-1]) or ""),
            start=verdicts[-1].start + last[1],
            end=parsed.end,
        )
    if text.find("{", position) >= 0:
        raise NoVerdict(f"too many braces in {text.strip()[:200]!r}")


def _is_named(pair: Pair, name: str) -> bool:
    return pair.key.strip().lower() == name


def _value(value: str | None) -> tuple[Word, int] | None:
    """The verdict that a value says, and the place of its first letter."""
    match = _VALUE.match(value) if value is not None and len(value) < 100 else None
    return (_word(match["word"]), match.start("word")) if match else None


def _word(text: str) -> Word:
    letters = text.lower()
    if letters in ("a", "b"):
        return "A" if letters == "a" else "B"
    return "tie" if letters == "tie" else "cannot_judge"


def _unescaped(text: str) -> str:
    try:
        return str(reading.parse_json(f'"{text}"'))
    except ValueError:
        return text


def _lines(text: str) -> Iterator[_Statement]:
    """The statement of the last line, after those of earlier lines that name a verdict as such."""
    lines, start = list[tuple[int, str]](), 0
    for line in text.split("\n"):
        if line.strip(" \t\r`*_-"):
            lines.append((start, line))
        start += len(line) + 1
    for number, (place, line) in enumerate(lines):
        is_last = number == len(lines) - 1
        match = _LAST_LINE.match(line) if len(line) < 200 else None
        if match and (is_last or match["named"]):
            yield _Statement(
                word=_word(match["word"]),
                reason=text[:place].strip()[:500] if is_last else "",
                start=place + match.start("word"),
                end=place + len(line),
            )
        elif is_last:
            raise NoVerdict(f"no verdict in {text.strip()[:200]!r}")


def _mentions(text: str) -> set[Word]:
    """Verdicts that a text speaks of, an English article `A` among them."""
    words = set[Word]()
    for match in _MENTION.finditer(text):
        if letter := match["letter"] or match["small"] or match["quoted"]:
            words.add(_word(letter))
        else:
            words.add("tie" if match["tie"] else "cannot_judge")
    for line in text.split("\n"):
        if alone := _LAST_LINE.match(line) if len(line) < 200 else None:
            words.add(_word(alone["word"]))
    return words


def unquoted(text: str) -> str:
    """The text of a JSON string that holds the whole of `text`; else `text` itself."""
    stripped = text.strip()
    if len(stripped) > 2 and stripped[0] == stripped[-1] == '"' and "\\" in stripped:
        try:
            return str(json.loads(stripped))
        except ValueError:
            return text
    return text
