"""Cards of trained methods on their way to and from a hub: those that name no code of a machine."""

from pathlib import Path

from htbench.core import content
from htbench.core.errors import Refused, UsageError
from htbench.steering.baseline import Card


def check(path: Path, trained: str) -> None:
    """Refuse a card that names more than an installed method and the file `trained` beside it.

    Reading a card imports nothing; `htbench run --method CARD` imports what it names.

    Raises:
        UsageError: if it is no card.
        Refused: if it names code, or other files.
    """
    try:
        card = content.read_card(path, Card)
    except (content.InvalidCard, OSError) as error:
        raise UsageError(f"card {str(path)[:300]!r} is not valid: {error}") from None
    if ":" in card.method:
        raise Refused(
            f"card {path.name[:120]!r} names code, {card.method[:120]!r}, which is not taken to "
            "another machine",
            remedy="Only cards of installed methods are; move this card elsewhere to go without.",
        )
    others = sorted(str(file) for file in card.artifacts.values() if str(file) != trained)
    if others:
        raise Refused(
            f"card {path.name[:120]!r} names {others[0][:120]!r}, which is not {trained[:120]!r}",
            remedy="A card goes along with the one trained file that it names.",
        )
