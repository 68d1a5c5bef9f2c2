"""Conducts a tournament: plans matches over a run's pictures, asks the judge, records answers."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

from htbench.core import content
from htbench.core.display import Display
from htbench.core.errors import UsageError
from htbench.core.secrets import scrub_reply
from htbench.judging import leaderboard, newcomers
from htbench.judging.card import JudgeCard
from htbench.judging.judge import (
    Judge,
    JudgeAnswer,
    Question,
    SubmittedBatch,
    TakesBatches,
    Verdict,
)
from htbench.judging.ledger import Ledger
from htbench.judging.matches import PendingCall, PlannedMatch
from htbench.judging.meter import Meter
from htbench.judging.newcomers import NewcomerDesign
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import NOISE_PREFIX, TEXT_PREFIX, PictureLoader
from htbench.judging.schedule import Design, Match, round_robin, swiss_round

_MAX_PROBLEMS = 5
"""Lines of a batch's file that are named one by one."""
PROTOCOL = 1
"""Part of every call's key; raised when requests change but the rest of the key does not."""


@dataclass(frozen=True, kw_only=True)
class Tournament:
    """A tournament of one run by one judge and one design."""

    ledger: Ledger
    card: JudgeCard
    judge: Judge
    design: Design
    pictures: ComparablePictures
    picture_loader: PictureLoader
    meter: Meter
    """The one that the judge asks before each request."""
    display: Display = field(default_factory=Display)
    activity: str = "judge by"
    """Words that name it in the progress, before the name of the judge."""

    @cached_property
    def id(self) -> str:
        """A digest of the judge and the design."""
        return content.digest([self.card.digest, self.judge.model, asdict(self.design)])

    def plan(self) -> None:
        """Plan the matches of the pictures so far; of a Swiss tournament, the first round."""
        if isinstance(self.design, NewcomerDesign):
            self._plan_newcomers(self.design)
            return
        if self.design.swiss:
            if not self.ledger.rounds(self.id):
                self._plan_swiss(0, {})
            return
        concepts = list(self.pictures.concepts)
        self.plan_matches(round_robin(self.design, concepts, self.pictures.prompt_seeds))

    def plan_matches(self, matches: Iterable[Match]) -> None:
        """Plan these matches in place of all others of the tournament."""
        self.ledger.plan(self.id, self.metadata(), map(self._plan_match, matches))

    def _plan_newcomers(self, design: NewcomerDesign) -> None:
        """Plan the bundle's matches, whose verdicts are there, and those of the newcomers."""
        ledger, basis = self.ledger, design.basis
        known = list(ledger.decided(basis, design.criteria))
        ranked = newcomers.order(
            newcomers.Basis(id=basis, metadata=ledger.tournaments()[basis]),
            leaderboard.ratings(ledger, basis),
        )
        concepts, prompt_seeds = list(self.pictures.concepts), self.pictures.prompt_seeds
        matches = newcomers.newcomer_matches(design, ranked, concepts, prompt_seeds)
        ledger.plan(self.id, self.metadata(), chain(known, map(self._plan_match, matches)))

    def next_round(self) -> bool:
        """Plan the next Swiss round by the ratings so far; False if there is none."""
        number = self.ledger.rounds(self.id)
        if number >= self.design.swiss:
            return False
        self._plan_swiss(number, leaderboard.ratings(self.ledger, self.id))
        return True

    def _plan_swiss(self, number: int, ratings: Mapping[str, float]) -> None:
        results = self.ledger.results(self.id)
        matches = swiss_round(
            self.design,
            list(self.pictures.concepts),
            self.pictures.prompt_seeds,
            number=number,
            ratings=ratings,
            past_matches=[result.match for result in results if not result.match.control],
        )
        self.ledger.plan(self.id, self.metadata(), map(self._plan_match, matches), round_=number)

    def metadata(self) -> dict[str, Any]:
        """The judge and the design, as the ledger keeps them for readers of the verdicts."""
        circular = {
            method
            for encoder in self.judge.encoders
            for method in self.pictures.circular.get(encoder, ())
        }
        return {
            "judge": self.card.name,
            "kind": self.card.kind,
            "version": self.card.version,
            "digest": self.card.digest,
            "label": self.card.label,
            "model": self.judge.model,
            "endpoint": self.judge.endpoint,
            "encoders": list(self.judge.encoders),
            "circular": sorted(circular),
            "design": asdict(self.design),
            "protocol": PROTOCOL,
        }

    def ask(self, *, limit: int | None = None) -> None:
        """Make the calls that have no verdict yet, each at most once, as far as the meter allows.

        Raises:
            HtbenchError: if the judge cannot go on; the answers so far are kept.
        """
        calls, missing = self.ledger.count_calls(self.id)
        stage = self.display.progress(f"{self.activity} {self.card.name}", missing)
        self.display.info(f"{calls - missing:,} of {calls:,} calls have a verdict already")
        self._start_meter()
        if not self.meter.has_room:
            return
        for answer in self.judge.answers(self._questions(limit)):
            self._save_answer(answer)
            stage.advance()

    def ask_question(self, question: Question) -> JudgeAnswer | None:
        """The recorded answer to one question, which may be none of the schedule's.

        None if the meter leaves no request for it.

        Raises:
            HtbenchError: if the judge cannot be asked.
        """
        self._start_meter()
        if not self.meter.has_room:
            return None
        given = None
        for answer in self.judge.answers(iter([question])):
            self._save_answer(answer)
            given = answer
        return given

    def play(self) -> None:
        """Make all calls that the meter allows; of a Swiss tournament, round by round."""
        self.ask()
        while self.meter.has_room and self.next_round():
            self.ask()

    def send_batches(self) -> list[SubmittedBatch]:
        """Send the calls that have no verdict yet in batches.

        The first question is asked by itself, to find out the endpoint's capability.

        Raises:
            UsageError: if the judge takes no batches.
        """
        judge = self._batch_judge
        if not self.ledger.model_usage(self.judge.model).calls:
            self.ask(limit=1)
        self._start_meter()
        batches = list[SubmittedBatch]()
        if not self.meter.has_room:
            return batches
        for batch in judge.submit(self._questions(None), known=self.ledger.all_batches()):
            self.ledger.add_batch(
                batch.id, self.id, self.judge.model, batch.keys, worst=batch.worst
            )
            batches.append(batch)
        return batches

    def collect_batches(self) -> dict[str, str]:
        """Record the answers of batches that have ended; gives the state of each open batch."""
        judge, states = self._batch_judge, {}
        for batch in self.ledger.open_batches(self.judge.model):
            result = judge.collect(batch, worst=self.ledger.worst_call(batch))
            states[batch] = result.state
            waiting, strangers = self.ledger.waiting_calls(batch), 0
            for answer in result.answers:
                if answer.key in waiting:
                    waiting.remove(answer.key)
                    self._save_answer(answer, batch=batch)
                else:
                    strangers += 1
            self._warn_of_lines(batch, result.problems, strangers)
            if result.ended and (lost := self.ledger.close_batch(batch, result.state)):
                self.display.warn(
                    f"batch {batch} is {result.state}; {lost} of its calls have no reply and are "
                    "asked again next time"
                )
        return states

    def _warn_of_lines(self, batch: str, problems: list[str], strangers: int) -> None:
        for problem in problems[:_MAX_PROBLEMS]:
            self.display.warn(f"batch {batch}: {problem}; it is left out")
        if len(problems) > _MAX_PROBLEMS:
            self.display.warn(
                f"batch {batch}: {len(problems) - _MAX_PROBLEMS:,} more lines are left out"
            )
        if strangers:
            self.display.warn(f"batch {batch}: {strangers:,} lines answer none of its open calls")

    def _start_meter(self) -> None:
        self.meter.start(self.ledger.model_usage(self.judge.model))

    def reparse(self) -> int:
        """Read all raw replies again; gives their number."""
        verdicts = [
            (call, key, self._read(body)) for call, key, body in self.ledger.raw_replies(self.id)
        ]
        return self.ledger.replace_verdicts(verdicts, parser=self.judge.parser)

    def warn_of_parsers(self) -> None:
        """Warn if an earlier version of the parser read some of the replies."""
        parsers = self.ledger.parsers(self.id)
        if outdated := [parser for parser in parsers if parser != self.judge.parser]:
            self.display.warn(
                f"some replies were read by {', '.join(outdated)}, which is {self.judge.parser} "
                "now; --reparse reads them again and costs nothing"
            )

    def question(self, call: PendingCall) -> Question:
        """The question of a call, with its pictures."""
        return Question(
            key=call.key,
            criterion=call.criterion,
            text=self._text(call.criterion, call.concept, call.prompt),
            concept=self.pictures.concepts[call.concept],
            prompt=call.prompt,
            first=self.picture_loader.load(call.first),
            second=self.picture_loader.load(call.second),
        )

    @property
    def _batch_judge(self) -> TakesBatches:
        if not isinstance(self.judge, TakesBatches):
            raise UsageError(
                f"judge {self.card.name!r} takes no batches", remedy="Leave --batch out."
            )
        return self.judge

    def _save_answer(self, answer: JudgeAnswer, *, batch: str = "") -> None:
        self.ledger.add_answer(
            answer,
            self.verdict(answer),
            model=self.judge.model,
            endpoint=self.judge.endpoint,
            parser=self.judge.parser,
            batch=batch,
        )

    def verdict(self, answer: JudgeAnswer) -> Verdict:
        """The verdict in an answer, or its failure."""
        if answer.failure:
            return Verdict(outcome=answer.failure, reason=answer.message)
        return self._read(answer.body)

    def _read(self, body: str) -> Verdict:
        verdict = self.judge.read(body)
        return replace(verdict, reason=scrub_reply(verdict.reason))

    def _questions(self, limit: int | None) -> Iterator[Question]:
        """The questions of pending calls, up to a limit."""
        asked: set[str] = set()
        for call in self.ledger.pending(self.id):
            if call.key in asked:
                continue
            if limit is not None and len(asked) >= limit:
                return
            asked.add(call.key)
            if call.concept not in self.pictures.concepts:
                self.ledger.damage.add(
                    f"match of tournament {self.id}", f"{call.place}: no concept {call.concept!r}"
                )
                continue
            yield self.question(call)
        self.ledger.damage.tell()

    def _plan_match(self, match: Match) -> PlannedMatch:
        files, other_concept = self.pictures.files, match.other_concept or match.concept
        one = files.get((match.one, match.concept, match.prompt, match.seed))
        two = files.get((match.two, other_concept, match.prompt, match.seed))
        if match.control in ("noise", "text"):
            two = one and (NOISE_PREFIX if match.control == "noise" else TEXT_PREFIX) + one
        if one is None or two is None:
            return PlannedMatch(match=match)
        repeat = 1 if match.control == "repeat" else 0
        text = self._text(match.criterion, match.concept, match.prompt)
        both_orders = self.design.both_orders
        return PlannedMatch(
            match=match,
            first=one,
            second=two,
            order_ab=self._key(text, one, two, repeat),
            order_ba=self._key(text, two, one, repeat) if both_orders else None,
        )

    def _text(self, criterion: str, concept: str, prompt: str) -> str:
        return self._rubric(criterion, self.pictures.concepts[concept], prompt)

    @cached_property
    def _rubric(self) -> Callable[[str, str, str], str]:
        return lru_cache(maxsize=4096)(
            lambda criterion, concept, prompt: self.card.render_rubric(
                criterion, concept=concept, prompt=prompt
            )
        )

    def _key(self, text: str, first: str, second: str, repeat: int) -> str:
        card = self.card
        request = [
            PROTOCOL,
            card.kind,
            self.judge.model,
            text,
            card.reply_schema,
            card.pictures.model_dump(),
            card.decoding,
            card.settings,
            first,
            second,
            repeat,
        ]
        serialised = json.dumps(request, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(serialised.encode()).hexdigest()[:32]
