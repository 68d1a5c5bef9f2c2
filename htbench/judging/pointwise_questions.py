"""Plans and asks pointwise questions, as matches of each picture against nothing."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from htbench.core import content
from htbench.core.errors import Missing, UsageError
from htbench.judging import rubric
from htbench.judging.judge import Question, TakesSinglePictures
from htbench.judging.matches import PendingCall, PlannedMatch
from htbench.judging.pairs import ComparablePictures, ImageKey
from htbench.judging.pictures import NOISE_PREFIX
from htbench.judging.pointwise import NOTHING, PointwiseDesign
from htbench.judging.schedule import Control, Match
from htbench.judging.tournament import Tournament

_LETTERS = (
    'Say "{yes}" for yes and "{no}" for no, "tie" only if yes and no are equally right, and '
    '"cannot_judge" only if you cannot see the picture.'
)


@dataclass(frozen=True, kw_only=True)
class PointwiseQuestions(Tournament):
    """Questions about one picture each, with either letter for yes."""

    def question(self, call: PendingCall) -> Question:
        """The question of a call: A stands for yes where the picture is its first."""
        is_a_yes = call.second == NOTHING
        return Question(
            key=call.key,
            criterion=call.criterion,
            text=self._full_text(call.criterion, call.concept, call.prompt, is_a_yes=is_a_yes),
            concept=self.pictures.concepts[call.concept],
            prompt=call.prompt,
            first=self.picture_loader.load(call.first if is_a_yes else call.second),
            second=None,
        )

    def _plan_match(self, match: Match) -> PlannedMatch:
        method = match.two if match.one == NOTHING else match.one
        concept = match.other_concept or match.concept
        file = self.pictures.files.get((method, concept, match.prompt, match.seed))
        if file is None:
            return PlannedMatch(match=match)
        if match.control == "noise":
            file = NOISE_PREFIX + file
        repeat = 1 if match.control == "repeat" else 0
        both = (file, NOTHING) if match.one != NOTHING else (NOTHING, file)
        keys = [
            self._key(
                self._full_text(
                    match.criterion, match.concept, match.prompt, is_a_yes=second == NOTHING
                ),
                first,
                second,
                repeat,
            )
            for first, second in (both, both[::-1])
        ]
        return PlannedMatch(
            match=match, first=both[0], second=both[1], order_ab=keys[0], order_ba=keys[1]
        )

    def _full_text(self, criterion: str, concept: str, prompt: str, *, is_a_yes: bool) -> str:
        words = self.card.render_pointwise(
            criterion, concept=self.pictures.concepts[concept], prompt=prompt
        )
        yes, no = ("A", "B") if is_a_yes else ("B", "A")
        return f"{words}\n{_LETTERS.format(yes=yes, no=no)}"


def prepare_pointwise(tournament: Tournament, *, offline: bool) -> PointwiseQuestions:
    """The pointwise questions of a tournament's judge about the pictures of its methods.

    They are planned anew; offline, they are those that were planned before.

    `pairs` of its design is the largest number of pictures per criterion.

    Raises:
        UnknownName: if the judge has no question on one picture for a criterion.
        UsageError: if it takes no single pictures.
        Missing: if it is offline and was never asked them.
    """
    card, judge = tournament.card, tournament.judge
    if not isinstance(judge, TakesSinglePictures):
        raise UsageError(
            f"judge {card.name!r} answers questions on pairs alone",
            remedy="Leave --pointwise out, or give a vision-language model: --judge local",
        )
    design = tournament.design
    questions = {name: card.pointwise_rubric(name) for name in design.criteria}
    pointwise = PointwiseDesign(
        methods=(*design.methods, NOTHING),
        criteria=design.criteria,
        strength=design.strength,
        pairs=design.pairs,
        controls=design.controls,
        seed=design.seed,
        about_concept=tuple(name for name, text in questions.items() if rubric.names_concept(text)),
        shows=design.shows,
        pointwise=content.digest([questions, _LETTERS]),
    )
    parts = {field.name: getattr(tournament, field.name) for field in fields(tournament)}
    asked = PointwiseQuestions(**{**parts, "design": pointwise, "activity": "pointwise scores by"})
    if not offline:
        asked.plan_matches(_matches(pointwise, tournament.pictures))
    elif asked.id not in asked.ledger.pointwise():
        raise Missing(
            f"judge {card.name!r} was not asked this in run {asked.ledger.folder.name!r}",
            remedy="Give the options that it was asked with, or ask: no --offline.",
        )
    asked.warn_of_parsers()
    return asked


def _matches(design: PointwiseDesign, pictures: ComparablePictures) -> Iterator[Match]:
    """A match per picture and criterion in random order, with controls among them."""
    dice = random.Random(f"pointwise {design.seed}")
    units = [
        (method, concept, prompt, seed)
        for concept in pictures.concepts
        for prompt, seed in pictures.prompt_seeds
        for method in design.methods
        if method != NOTHING
    ]
    dice.shuffle(units)
    units = units[: design.pairs]
    matches = [
        Match(
            control="",
            criterion=criterion,
            concept=concept,
            prompt=prompt,
            seed=seed,
            one=method,
            two=NOTHING,
        )
        for method, concept, prompt, seed in units
        for criterion in design.criteria
    ]
    controls = list(_controls(design, units, list(pictures.concepts), dice))
    places = dice.sample(range(len(matches) + len(controls)), len(controls))
    for place, control in sorted(zip(places, controls, strict=True), key=lambda pair: pair[0]):
        matches.insert(place, control)
    return iter(matches)


def _controls(
    design: PointwiseDesign,
    units: Sequence[ImageKey],
    concepts: Sequence[str],
    dice: random.Random,
) -> Iterator[Match]:
    """Questions asked again, and about noise and pictures of another concept, where no is right."""
    after = dict(zip(concepts, [*concepts[1:], *concepts[:1]], strict=True))
    for criterion in design.criteria:
        kinds: list[Control] = ["repeat", "noise"]
        if criterion in design.about_concept and len(concepts) > 1:
            kinds.append("decoy")
        for kind in kinds:
            for method, concept, prompt, seed in dice.sample(
                units, min(design.controls, len(units))
            ):
                shown = design.shows if kind == "decoy" else method
                yield Match(
                    control=kind,
                    criterion=criterion,
                    concept=concept,
                    prompt=prompt,
                    seed=seed,
                    one=method if kind == "repeat" else NOTHING,
                    two=NOTHING if kind == "repeat" else shown,
                    other_concept=after[concept] if kind == "decoy" else "",
                )
