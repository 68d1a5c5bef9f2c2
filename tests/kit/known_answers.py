"""A scripted judge that knows the calibration set, in the pictures that a card sends."""

import re
from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from htbench.core import content, pictures
from htbench.judging.card import JudgeCard, PictureSettings, load_judge_card
from htbench.judging.known_pairs import KnownPair, load_known_pairs
from htbench.judging.pictures import standardise
from kit.judge_servers import Ask, Mind, fair


def knowing(card: JudgeCard, *, wrong: Callable[[KnownPair], bool] = lambda pair: False) -> Mind:
    """A judge that looks pictures up in the set and takes the right one, unless `wrong` says else.

    Of pictures that are not in the set it is a fair judge.
    """
    names = _names(card.pictures.model_dump_json())
    questions = {_words(card, pair): pair for pair in load_known_pairs().pairs}

    def mind(ask: Ask) -> str:
        pair = next((each for text, each in questions.items() if text in ask.text), None)
        shown = [names.get(_pixels(picture)) for picture in ask.pictures]
        if pair is None or None in shown:
            return fair(ask)
        best = pair.wrong if wrong(pair) else pair.right
        return "A" if shown[0] == best else "B"

    return mind


def picture(name: str) -> Image.Image:
    """A picture of the set."""
    archive = content.folder("judges") / "calibration" / "pictures.zip"
    return pictures.read_archived_picture(archive, name)


def of_difficulty(pattern: str) -> Callable[[KnownPair], bool]:
    """True for pairs whose difficulty matches a pattern."""
    return lambda pair: bool(re.search(pattern, pair.difficulty))


def _words(card: JudgeCard, pair: KnownPair) -> str:
    return card.render_rubric(pair.criterion, concept=pair.concept, prompt=pair.prompt)


@cache
def _names(settings: str) -> dict[bytes, str]:
    """Names of the set's pictures by their pixels as a card with these settings sends them."""
    as_sent = PictureSettings.model_validate_json(settings)
    names = {name for pair in load_known_pairs().pairs for name in (pair.right, pair.wrong)}
    found = {_sent(picture(name), as_sent): name for name in names}
    assert len(found) == len(names)
    return found


def _sent(image: Image.Image, settings: PictureSettings) -> bytes:
    file = BytesIO()
    standardise(image, settings).save(file, "PNG")
    return _pixels(np.asarray(Image.open(file).convert("RGB"), float))


def _pixels(array: np.ndarray) -> bytes:
    return array.astype(np.uint8).tobytes()


default_card = cache(lambda: load_judge_card("openai"))
"""The shipped card whose rubrics and pictures most judges have."""
