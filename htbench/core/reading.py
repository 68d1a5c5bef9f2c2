"""The one way in for files: found, opened, decoded and parsed, each within a limit.

Whatever is wrong with a file ends in one line that names the file and the place: `UnreadableFile`
or, where there is no such file, another `UsageError`.
"""

import json
import math
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar
from zipfile import BadZipFile

from htbench.core.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

MAX_BYTES = 1 << 26
"""The largest file that is read as a whole, in bytes: 64 MiB."""
MAX_DEPTH = 64
"""The most objects and lists within each other in JSON and TOML."""
MAX_DIGITS = 400
"""The most digits of a number in JSON and TOML."""
ZIP_ERRORS = (BadZipFile, OSError, ValueError, EOFError, RuntimeError)
"""Errors that `zipfile` raises for an archive that is damaged or, with RuntimeError, encrypted or
of a version of the format or a method of compression that it does not read. Each ends in a line
that says that the file cannot be read."""
_SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; unpack it, or save it as CSV",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ\x00": "an xz archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"(\xb5/\xfd": "a zstd archive; unpack it",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF",
    b"SQLite format 3\x00": "a database",
}
_BOMS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_START = 4096
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_MAY_OVERFLOW = re.compile(rb"[eE]\+?\d{3}|\d{300}")
"""In every JSON text with a number that is too large for a float."""
_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
_SURROGATE = re.compile("[\ud800-\udfff]")
Record = TypeVar("Record", bound="BaseModel")


class UnreadableFile(UsageError):
    """A file that is not what was asked for: a folder, an archive, too large, or not in its format.

    The text is one line.
    """


class Malformed(ValueError):
    """Text that is not JSON or TOML within the limits; the text of the error is one line."""


def find_file(path: Path, *, noun: str = "file", within: Path | None = None) -> Path:
    """The regular file at `path`.

    Args:
        noun: the noun for the file in messages: `table of prices`.
        within: a folder that links must not lead out of.

    Raises:
        UsageError: if there is no such file; `UnknownName`, with the nearest ones, where others
            lie beside it.
        UnreadableFile: if it is a folder, a device or a pipe, or lies outside of `within`.
    """
    shown = repr(str(path)[:300])
    try:
        mode = path.stat().st_mode
        outside = within is not None and not path.resolve().is_relative_to(within.resolve())
    except (FileNotFoundError, NotADirectoryError):
        raise _not_there(path, noun) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise UnreadableFile(f"{noun} {shown} cannot be read: {_reason(error)}") from None
    if stat.S_ISDIR(mode):
        raise UnreadableFile(f"{noun} {shown} is a folder")
    if not stat.S_ISREG(mode):
        raise UnreadableFile(f"{noun} {shown} is not a regular file")
    if outside:
        raise UnreadableFile(f"{noun} {shown} is a link out of {str(within)[:300]!r}")
    return path


def read_bytes(
    path: Path, *, noun: str = "file", within: Path | None = None, most: int = MAX_BYTES
) -> bytes:
    """The content of a file of at most `most` bytes; the rest as in `find_file`.

    Raises:
        UnreadableFile: also if it is larger, or the system refuses to read it.
    """
    find_file(path, noun=noun, within=within)
    try:
        with path.open("rb") as file:
            size = max(path.stat().st_size, 1 << 20)  # room is taken for as many bytes as are asked
            data = file.read(min(most, size) + 1)
    except OSError as error:
        raise UnreadableFile(
            f"{noun} {str(path)[:300]!r} cannot be read: {_reason(error)}"
        ) from None
    if len(data) > most:
        raise UnreadableFile(
            f"{noun} {str(path)[:300]!r} is larger than {_size(most)}, which is the limit"
        )
    return data


def read_text(
    path: Path, *, noun: str = "file", within: Path | None = None, most: int = MAX_BYTES
) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32, which are recognised.

    Raises:
        UnreadableFile: also if it is an archive, a picture, or text in another encoding.
    """
    data = read_bytes(path, noun=noun, within=within, most=most)
    try:
        return data.decode(_encoding(data[:_START], path, noun))
    except UnicodeError as error:
        raise UnreadableFile(
            f"{noun} {str(path)[:300]!r} is not UTF-8: {_reason(error)}",
            remedy="Save it as UTF-8.",
        ) from None


def open_text(path: Path, *, noun: str = "file", within: Path | None = None) -> TextIO:
    """A file of text of any size, opened to be read line by line with all line ends as they are.

    Bytes that are not UTF-8 become lone surrogates, so that the reader can tell their row.

    Raises:
        UnreadableFile: if it is an archive, a picture, or a database; the rest as in `find_file`.
    """
    find_file(path, noun=noun, within=within)
    try:
        with path.open("rb") as file:
            encoding = _encoding(file.read(_START), path, noun)
        return path.open(newline="", encoding=encoding, errors="surrogateescape")
    except OSError as error:
        raise UnreadableFile(
            f"{noun} {str(path)[:300]!r} cannot be read: {_reason(error)}"
        ) from None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text: numbers are finite, and no string has a lone surrogate.

    Such surrogates, which no file or database can hold, become U+FFFD.

    Raises:
        Malformed: if it is no JSON, too deep, or has a number that is too long or not finite.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        _check_depth(text)
        value = json.loads(text, parse_float=_finite, parse_int=_integer, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise Malformed(_reason(error)) from None
    may_have_surrogates = "\\u" in text or not text.isascii()
    return without_surrogates(value) if may_have_surrogates else value


def parse_flat_lists(lines: Sequence[bytes]) -> list[list[Any]] | None:
    """The values of JSON lines at once, if each is a list without lists and objects in it.

    That takes a fifth of the time of `parse_json` line by line. None where a line may be anything
    else: `parse_json` is to tell what. Whole numbers may have more than `MAX_DIGITS` digits.
    """
    text = b",".join(lines)
    brackets = text.count(b"["), text.count(b"]"), text.count(b"],[") + 1
    if set(brackets) != {len(lines)} or text[:1] + text[-1:] != b"[]" or b"{" in text:
        return None
    try:
        rows: list[list[Any]] = json.loads(
            b"[%b]" % text,
            parse_float=_finite if _MAY_OVERFLOW.search(text) else None,
            parse_constant=_finite,
        )
    except ValueError:
        return None
    if len(rows) != len(lines):  # a string that begins in one line and ends in another
        return None
    return rows if text.isascii() and b"\\u" not in text else without_surrogates(rows)


def without_surrogates(value: Any) -> Any:
    """A value of JSON with U+FFFD for lone surrogates, which no file or database can hold."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_surrogates(part) for part in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(part) for key, part in value.items()}
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text, whose numbers are finite.

    Raises:
        Malformed: if it is no TOML, too deep, or has a number that is too long or not finite.
    """
    import tomllib

    try:
        if _LONG_NUMBER.search(text):
            raise ValueError(f"a number has more than {MAX_DIGITS} digits")
        _check_depth(text)
        table = tomllib.loads(text, parse_float=_finite)
        _check_keys(table)
    except (ValueError, RecursionError) as error:
        raise Malformed(_reason(error)) from None
    return table


def read_json(path: Path, *, noun: str = "file", within: Path | None = None) -> Any:
    """The value of a JSON file.

    Raises:
        UnreadableFile: if it is no such file; the rest as in `read_text`.
    """
    return _parsed(parse_json, path, noun, within, "JSON")


def read_toml(path: Path, *, noun: str = "file", within: Path | None = None) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        UnreadableFile: if it is no such file; the rest as in `read_text`.
    """
    table: dict[str, Any] = _parsed(parse_toml, path, noun, within, "TOML")
    return table


def json_lines(
    path: Path, *, noun: str = "file", within: Path | None = None
) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines, each with the number of its line; empty lines have none.

    Raises:
        UnreadableFile: for a line that is no JSON, with its number; the rest as in `read_text`.
    """
    text = read_text(path, noun=noun, within=within)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, parse_json(line)
            except Malformed as error:
                raise UnreadableFile(
                    f"line {number} of {noun} {str(path)[:300]!r} is no JSON: {error}"
                ) from None


def read_record(path: Path, kind: type[Record], *, noun: str = "file") -> Record:
    """The record in a JSON file, as the pydantic model `kind`.

    Raises:
        UnreadableFile: if it is no such record, with the field; the rest as in `read_text`.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(read_json(path, noun=noun))
    except ValidationError as error:
        raise UnreadableFile(
            f"{noun} {str(path)[:300]!r} is damaged: {first_problem(error)}"
        ) from None


def first_problem(error: "ValidationError") -> str:
    """The field, the problem and the value, in one line."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    problem = f"{field}: {first['msg']}" if field else first["msg"]
    is_value_known = first["type"] != "missing"
    text = f"{problem}, not {str(first['input'])[:60]!r}" if is_value_known else problem
    return " ".join(text.split())[:300]


def _parsed(parse: Any, path: Path, noun: str, within: Path | None, language: str) -> Any:
    text = read_text(path, noun=noun, within=within)
    try:
        return parse(text)
    except Malformed as error:
        raise UnreadableFile(f"{noun} {str(path)[:300]!r} is no {language}: {error}") from None


def _not_there(path: Path, noun: str) -> UsageError:
    folder = path.parent
    try:
        beside = [file.name for file in folder.iterdir() if file.is_file()]
    except OSError:
        beside = []
    remedy = f"Looked in {str(folder)[:300]!r}."
    if beside:
        return UnknownName(noun, path.name, beside, remedy=remedy)
    return UsageError(f"no {noun} {str(path)[:300]!r}", remedy=remedy)


def _encoding(start: bytes, path: Path, noun: str) -> str:
    """The encoding of a text by its first bytes."""
    for bom, encoding in _BOMS.items():
        if start.startswith(bom):
            return encoding
    for signature, description in _SIGNATURES.items():
        if start.startswith(signature):
            raise UnreadableFile(f"{noun} {str(path)[:300]!r} is {description}")
    if b"\x00" in start:  # no text in UTF-8 has NUL; text in UTF-16 has it in every other byte
        even, odd = start[::2].count(0), start[1::2].count(0)
        if max(even, odd) > 0.4 * len(start) / 2 and min(even, odd) < 0.05 * len(start) / 2:
            return "utf-16-le" if odd > even else "utf-16-be"
        raise UnreadableFile(f"{noun} {str(path)[:300]!r} is no text")
    return "utf-8-sig"


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} lists or objects within each other")


def _check_keys(table: Mapping[str, Any], depth: int = 1) -> None:
    """Refuse tables within tables that dotted keys alone made too deep."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} tables within each other")
    for value in table.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                _check_keys(part, depth + 1)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join((text or type(error).__name__).split())[:200]


def _size(number: int) -> str:
    return f"{number >> 20:,} MiB" if number >= 1 << 20 else f"{number:,} bytes"
