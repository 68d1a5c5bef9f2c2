"""The tokeniser shared by the embedded generator and its CLIPs: one token per word."""

import re
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

from htbench.models.emoji.icons import WEIGHTS_FOLDER

MAX_LENGTH = 20
PAD, UNKNOWN = 0, 1
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*|,")


@cache
def token_ids() -> dict[str, int]:
    """The token of every known word; 0 is padding and 1 any other word."""
    words = (WEIGHTS_FOLDER / "vocabulary.txt").read_text(encoding="utf-8").split()
    return {word: k for k, word in enumerate(words, start=2)}


def size() -> int:
    """Number of tokens, with padding and the unknown word."""
    return len(token_ids()) + 2


def split(text: str) -> list[str]:
    """The words of `text`, lower case, commas as words."""
    return _WORD.findall(text.lower())


def unknown_words(text: str) -> list[str]:
    """Words of `text` that the embedded models have never seen."""
    return [word for word in split(text) if word not in token_ids()]


def groups() -> dict[str, Sequence[str]]:
    """All known words, and nouns of several words, by the kind of thing that they stand for."""
    from htbench.models.emoji.worlds import SHIPPED

    kinds = {
        "nouns": SHIPPED.values["companion"],
        "styles": SHIPPED.styles,
        "colours": SHIPPED.colours,
        "patterns of backgrounds": SHIPPED.patterns,
        "weather": SHIPPED.weathers,
    }
    if shaped := [frame for frame in SHIPPED.frames if frame not in SHIPPED.colours]:
        kinds["frames"] = tuple(shaped)
    if synonyms := set(SHIPPED.vocabulary()) - set(SHIPPED.words()):
        kinds["synonyms, which the generator does not know"] = tuple(sorted(synonyms))
    named = {word for names in kinds.values() for word in " ".join(names).split()}
    others = sorted(set(token_ids()) - named - {","})
    return {**kinds, "words between them": others}


ROLES = 3
_JOINING_WORDS = ("with", "and", "beside")


def roles(tokens: Int[Tensor, "texts words"]) -> Int[Tensor, "texts words"]:
    """Roles of words: 0 in the subject, 1 after `with`, `and` or `beside`, 2 after a comma."""
    joining = [token_ids()[word] for word in _JOINING_WORDS]
    joined = torch.isin(tokens, torch.tensor(joining, device=tokens.device))
    mark = joined.long() + 2 * (tokens == token_ids()[","]).long()
    last = (mark.sign() * torch.arange(tokens.shape[1], device=tokens.device)).cummax(1).values
    return mark.gather(1, last)


def tokenise(texts: Sequence[str]) -> Int[Tensor, "texts words"]:
    """Tokens of the first `MAX_LENGTH` words of each text, padded with 0."""
    ids = token_ids()
    rows = [[ids.get(word, UNKNOWN) for word in split(text)][:MAX_LENGTH] for text in texts]
    padded = [row + [PAD] * (MAX_LENGTH - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(-1, MAX_LENGTH)
