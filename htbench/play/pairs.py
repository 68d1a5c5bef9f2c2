"""Pairs of pictures that are picked on the page, for a study with people."""

from htbench.core import pictures
from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED
from htbench.play.engine import Engine
from htbench.play.view import PairRequest, Side, View
from htbench.study.ask.pair_file import PickedPair, PickedPicture


def make(engine: Engine, request: PairRequest) -> PickedPair:
    """The pair with its pictures, without loss, as `htbench study export` reads it.

    Raises:
        UsageError: if the concept has no words, or a picture cannot be made.
    """
    concept = engine.concept(request.concept)
    if not concept.text:
        raise UsageError("a study asks about concepts in words")
    one, other = request.sides
    return PickedPair(
        prompt=request.prompt,
        seed=request.seed,
        concept=concept.id,
        words=concept.text,
        families=concept.families,
        pictures=(_picture(engine, request, one), _picture(engine, request, other)),
    )


def _picture(engine: Engine, request: PairRequest, side: Side) -> PickedPicture:
    is_plain = side.method == UNSTEERED
    view = View(
        prompt=request.prompt,
        seed=request.seed,
        concepts=(request.concept,),
        methods=(next(iter(engine.cards)) if is_plain else side.method,),
        points=((side.strength,),),
    )
    row = engine.rows(view)[0 if is_plain else 1]
    if not row.images:
        raise UsageError(f"there is no picture of {row.method}: {row.note}")
    strength = 0.0 if is_plain else side.strength
    return PickedPicture.of(row.method, strength, pictures.encode_png(row.images[0]))
