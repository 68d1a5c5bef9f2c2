"""Verdicts beside the pictures: what judges and people said of two pictures, and why.

A run may have thousands of pairs of pictures. The pairs on which judges or people differ,
and those of a random sample of the others take turns until the page is full; the sample is the same
at every reading.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from markupsafe import escape

from htbench.core import content
from htbench.core.secrets import scrub_reply
from htbench.judging.agreement import HumanVote
from htbench.judging.judge import Verdict
from htbench.judging.leaderboard import Pairing
from htbench.judging.ledger import Ledger
from htbench.judging.matches import Comparison
from htbench.judging.outcome import match_outcome, missing_reason, preference
from htbench.judging.replies import readable

MAX_PAIRS = 400
"""Number of pairs of pictures that are shown."""
MAX_BYTES = 10_000_000
"""Size of a page's texts, about, after which no further pair is shown."""
MAX_CHARS = 3000
"""Length of a thought, a reply or a reason that is shown; the ledger has them whole."""
_DECIDED = 1e-9
"""A preference this near to a half decides nothing."""


@dataclass(frozen=True, kw_only=True)
class OrderVerdict:
    """The answer of a judge in one order of the two pictures."""

    first: str
    """The method whose picture was shown first."""
    verdict: str
    """The preferred method, `tie`, or the reason why there is no verdict."""
    probability: float | None
    """Preference for the picture shown first, 0 to 1, read from token probabilities; None where
    the written verdict counts.
    """
    reason: str
    thought: str
    reply: str


@dataclass(frozen=True, kw_only=True)
class JudgeVerdict:
    """The verdict of one judge on two pictures by one criterion."""

    judge: str
    criterion: str
    verdict: str
    """The preferred method, `tie`, `inconsistent`, or the reason why there is no verdict."""
    sign: int
    """1: prefers the pair's first method, -1: its second, 0: neither."""
    orders: tuple[OrderVerdict, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PeopleVerdict:
    """The votes of people on two pictures by one criterion."""

    criterion: str
    for_one: int
    ties: int
    for_two: int

    @property
    def sign(self) -> int:
        """The side of the majority, as of a judge."""
        return (self.for_one > self.for_two) - (self.for_one < self.for_two)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """All that was said of one pair of pictures."""

    pairing: Pairing
    strength: float | None
    """None: each method at its tuned strength."""
    files: tuple[str | None, str | None]
    """Names of the pictures; None where there is none."""
    judges: tuple[JudgeVerdict, ...]
    people: tuple[PeopleVerdict, ...]

    @property
    def judges_disagree(self) -> bool:
        """True if two judges decide by the same criterion, each for another method."""
        signs = {(each.criterion, each.sign) for each in self.judges}
        return any((name, 1) in signs and (name, -1) in signs for name, _ in signs)

    @property
    def people_disagree(self) -> bool:
        """True if the majority of people is for one method and a judge for the other."""
        against = {(each.criterion, -each.sign) for each in self.people if each.sign}
        return any((each.criterion, each.sign) in against for each in self.judges)

    @property
    def is_inconsistent(self) -> bool:
        """True if a judge contradicts itself when the pictures are exchanged."""
        return any(each.verdict == "inconsistent" for each in self.judges)

    @property
    def differs(self) -> bool:
        """True if judges, people or the two orders differ."""
        return self.judges_disagree or self.people_disagree or self.is_inconsistent


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """The pairs of pictures that are shown, by concept, prompt, seed and methods."""

    shown: tuple[Judgement, ...]
    differing: int
    """Number of pairs in `shown` on which judges, people or the two orders differ."""
    pairs: int
    """Number of all judged pairs of pictures."""
    all_differing: int


@dataclass(frozen=True, kw_only=True)
class JudgedTournament:
    """A tournament whose verdicts are shown."""

    id: str
    judge: str
    strength: float | None


def collect(
    ledger: Ledger,
    tournaments: Iterable[JudgedTournament],
    votes: Mapping[float | None, Sequence[HumanVote]],
) -> Judgements:
    """The judgements of tournaments and people; `votes` are by strength."""
    told: dict[tuple[float | None, Pairing], list[tuple[str, Comparison]]] = defaultdict(list)
    for each in tournaments:
        for comparison in ledger.comparisons(each.id):
            told[each.strength, _pairing(comparison)].append((each.judge, comparison))
    people = {strength: _people(own) for strength, own in votes.items()}
    every = {
        key: Judgement(
            pairing=key[1],
            strength=key[0],
            files=_files(comparisons),
            judges=tuple(_judge_verdict(judge, each) for judge, each in comparisons),
            people=tuple(people.get(key[0], {}).get(key[1], ())),
        )
        for key, comparisons in told.items()
    }
    keys = sorted(every, key=lambda key: content.digest([key[0], *key[1]]))
    differing = [key for key in keys if every[key].differs]
    others = [key for key in keys if not every[key].differs]
    in_turn = [key for both in zip_longest(differing, others) for key in both if key]
    shown: list[Judgement] = []
    size = 0
    for key in in_turn[:MAX_PAIRS]:
        judgement = _with_replies(ledger, every[key], told[key])
        size += _size(judgement)
        if shown and size > MAX_BYTES:
            break
        shown.append(judgement)
    return Judgements(
        shown=tuple(sorted(shown, key=_place)),
        differing=sum(each.differs for each in shown),
        pairs=len(every),
        all_differing=len(differing),
    )


def _place(judgement: Judgement) -> tuple[object, ...]:
    """The place on the page: by concept, prompt, seed and methods."""
    one, two, *picture = judgement.pairing
    return (*picture, one, two, str(judgement.strength))


def _size(judgement: Judgement) -> int:
    """The size of a judgement on the page in bytes, about."""
    orders = [order for each in judgement.judges for order in each.orders]
    texts = [text for each in orders for text in (each.reason, each.thought, each.reply)]
    markup = 2000 + 600 * len(judgement.judges) + 800 * len(orders)
    return markup + sum(len(escape(text).encode("utf-8", "replace")) for text in texts)


def _pairing(comparison: Comparison) -> Pairing:
    match = comparison.result.match
    one, two = sorted((match.one, match.two))
    return one, two, match.concept, match.prompt, match.seed


def _is_swapped(comparison: Comparison) -> bool:
    """True if the match has the pair's second method as its `one`."""
    return comparison.result.match.two < comparison.result.match.one


def _files(comparisons: Sequence[tuple[str, Comparison]]) -> tuple[str | None, str | None]:
    comparison = comparisons[0][1]
    first, second = comparison.files
    return (second, first) if _is_swapped(comparison) else (first, second)


def _people(votes: Sequence[HumanVote]) -> dict[Pairing, list[PeopleVerdict]]:
    """The verdict of people on each pairing by each criterion."""
    counts: dict[tuple[Pairing, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for vote in votes:
        counts[vote.pairing, vote.criterion][round(2 - 2 * vote.value)] += 1
    verdicts: dict[Pairing, list[PeopleVerdict]] = defaultdict(list)
    for (pairing, criterion), (for_one, ties, for_two) in counts.items():
        verdicts[pairing].append(
            PeopleVerdict(criterion=criterion, for_one=for_one, ties=ties, for_two=for_two)
        )
    return verdicts


def _judge_verdict(judge: str, comparison: Comparison) -> JudgeVerdict:
    result, match = comparison.result, comparison.result.match
    value = preference(result)
    side = 0 if value is None or abs(value - 0.5) <= _DECIDED else 1 if value > 0.5 else -1
    outcome = match_outcome(result)
    named = {"won": match.one, "lost": match.two, "missing": missing_reason(result) or ""}
    return JudgeVerdict(
        judge=judge,
        criterion=match.criterion,
        verdict=named.get(outcome, outcome),
        sign=-side if _is_swapped(comparison) else side,
    )


def _with_replies(
    ledger: Ledger, judgement: Judgement, told: Sequence[tuple[str, Comparison]]
) -> Judgement:
    """The judgement with what each judge said in each order."""
    keys = [key for _, comparison in told for key in comparison.keys if key]
    replies = ledger.replies(keys)
    judges = [
        replace(verdict, orders=tuple(_orders(comparison, replies)))
        for verdict, (_, comparison) in zip(judgement.judges, told, strict=True)
    ]
    return replace(judgement, judges=tuple(judges))


def _orders(comparison: Comparison, replies: dict[str, str]) -> Iterable[OrderVerdict]:
    result, match = comparison.result, comparison.result.match
    verdicts = (result.order_ab, result.order_ba)
    for key, verdict, reason, (first, second) in zip(
        comparison.keys,
        verdicts,
        comparison.reasons,
        ((match.one, match.two), (match.two, match.one)),
        strict=True,
    ):
        if key is None:
            continue
        reply = readable(scrub_reply(replies.get(key, "")))
        yield OrderVerdict(
            first=first,
            verdict=_said(verdict, first, second),
            probability=verdict.preference if verdict and verdict.coverage is not None else None,
            reason=_cut(scrub_reply(reason)),
            thought=_cut(reply.thought),
            reply=_cut(reply.text),
        )


def _said(verdict: Verdict | None, first: str, second: str) -> str:
    if verdict is None:
        return "not asked"
    named = {"A": first, "B": second, "tie": "tie", None: verdict.outcome}
    return named[verdict.choice]


def _cut(text: str) -> str:
    """The text, cut in the middle if it is long: a verdict stands at the end."""
    text = text.strip()
    if len(text) <= MAX_CHARS:
        return text
    half = MAX_CHARS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"
