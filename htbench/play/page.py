"""The page: its template filled in, and the facts that its script needs."""

from collections.abc import Sequence

from htbench.play.engine import Engine
from htbench.play.view import MAX_CONCEPTS, MAX_LETTERS
from htbench.report import html
from htbench.steering.baseline import Card, Modality

_POLICY = html.ContentPolicy(
    images="data: blob:",
    connections="; connect-src 'self'",
    script_files=("play_pictures.js", "play_pairs.js", "play.js"),
)
_MAX_EXAMPLES = 400


def render(engine: Engine) -> str:
    """The page of an engine."""
    return fill(facts(engine, list(engine.cards.values())), is_demo=False)


def fill(facts: dict[str, object], *, is_demo: bool, data: str = "") -> str:
    """The page with these facts; `data` are further elements for its script."""
    template = html.templates({}).get_template("play.html")
    text = template.render(
        play_style=html.read_files("play.css"), is_demo=is_demo, facts=facts, letters=MAX_LETTERS
    )
    return html.fill_marks(text, _POLICY, data=html.json_script("play-facts", facts) + data)


def facts(engine: Engine, cards: Sequence[Card]) -> dict[str, object]:
    """The model, methods, prompts and example concepts, for the script of the page."""
    splits = engine.concepts.splits
    examples = [concept.text for split in ("test", "dev", "train") for concept in splits[split]]
    if engine.run_maps:
        examples = [*engine.run_maps.concepts]
    return {
        "model": engine.model.name,
        "concept_set": engine.concepts.name,
        "methods": [
            {
                "name": card.name,
                "summary": card.summary,
                "kind": card.kind,
                "reads": list(card.reads),
            }
            for card in cards
        ],
        "shown_methods": _shown(cards, "text"),
        "shown_for_pictures": _shown(cards, "image"),
        "prompts": list(engine.concepts.prompts),
        "examples": [text for text in dict.fromkeys(examples) if text][:_MAX_EXAMPLES],
        "most_concepts": MAX_CONCEPTS,
    }


def _shown(cards: Sequence[Card], modality: Modality) -> list[str]:
    """The methods that are chosen at first: those that need no fit, and read words or pictures."""
    able = [card for card in cards if modality in card.reads]
    return [card.name for card in able if card.kind != "per-concept"] or [
        card.name for card in able[:1] or cards[:1]
    ]
