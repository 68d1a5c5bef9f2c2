"""Cells of CSV files that no spreadsheet takes for a formula."""

import re

_BLANKS = r"[\s\x00-\x1f\x7f\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]*"
_SIGNS = "=+\\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
"""The signs that begin a formula, with their small and full-width forms and the true minus."""
_FORMULA = re.compile(rf"'*(?:[\t\r]|{_BLANKS}[{_SIGNS}])")
_NUMBER = re.compile(r"'*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def cell(text: str) -> str:
    """A text as the cell of a CSV file that may be opened in a spreadsheet.

    A text that begins a formula (= + - @, a tab or CR, also after white space or in full-width
    forms) gets a leading apostrophe, unless it is a plain number. So does one with apostrophes
    before such a text, so that `original` gives every text back.
    """
    if not text or text[0].isalnum():
        return text
    return f"'{text}" if _is_formula(text) else text


def original(cell: str) -> str:
    """The text that `cell` made a cell of; a cell that it did not change stays as it is."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    return _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
