"""Conducts a tournament: plans matches over a run's pictures, asks what has no verdict yet, and writes down each answer as it comes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from htbench.core import content
from htbench.core.display import Display
from htbench.core.errors import UsageError
from htbench.judging import leaderboard
from htbench.judging.budget import Budget
from htbench.judging.card import JudgeCard
from htbench.judging.judge import (
    Judge,
    JudgeAnswer,
    Question,
    SubmittedBatch,
    TakesBatches,
    Usage,
    Verdict,
)
from htbench.judging.ledger import Ledger, ModelUsage, PendingCall, PlannedMatch
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import NOISE_PREFIX, TEXT_PREFIX, PictureLoader
from htbench.judging.schedule import Design, Match, round_robin, swiss_round

PROTOCOL = 1
"""Part of every call's key: goes up when what is sent changes in a way that nothing else in the key tells."""


@dataclass(frozen=True, kw_only=True)
class Tournament:
    """One judge, one design, one run."""

    ledger: Ledger
    card: JudgeCard
    judge: Judge
    design: Design
    pictures: ComparablePictures
    picture_loader: PictureLoader
    budget: Budget = field(default_factory=Budget)
    display: Display = field(default_factory=Display)

    @cached_property
    def id(self) -> str:
        """The same for the same judge and design."""
        return content.digest([self.card.digest, self.judge.model, asdict(self.design)])

    def plan(self) -> None:
        """Plan the matches of what pictures there are now; of a mixed tournament, the first round."""
        if self.design.swiss:
            if not self.ledger.rounds(self.id):
                self._plan_swiss(0, {})
        else:
            self.ledger.plan(
                self.id,
                self.metadata(),
                map(
                    self._plan_match,
                    round_robin(
                        self.design, list(self.pictures.concepts), self.pictures.prompt_seeds
                    ),
                ),
            )

    def next_round(self) -> bool:
        """Plan the next round of a mixed tournament by the ratings so far; False if there is none."""
        number = self.ledger.rounds(self.id)
        if number >= self.design.swiss:
            return False
        self._plan_swiss(number, leaderboard.ratings(self.ledger, self.id))
        return True

    def _plan_swiss(self, number: int, ratings: Mapping[str, float]) -> None:
        met = [result.match for result in self.ledger.results(self.id) if not result.match.control]
        fresh = swiss_round(
            self.design,
            list(self.pictures.concepts),
            self.pictures.prompt_seeds,
            number=number,
            ratings=ratings,
            past_matches=met,
        )
        self.ledger.plan(self.id, self.metadata(), map(self._plan_match, fresh), round_=number)

    def metadata(self) -> dict[str, Any]:
        """What a reader of the verdicts has to know."""
        shared = {
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
            "circular": sorted(shared),
            "design": asdict(self.design),
            "protocol": PROTOCOL,
        }

    def ask(self, *, limit: int | None = None) -> None:
        """Ask what has no verdict yet, within the budget, each call at most once.

        Raises:
            HtbenchError: where the judge cannot go on; what was answered until then is kept.
        """
        calls, missing = self.ledger.count_calls(self.id)
        stage = self.display.progress(f"judge by {self.card.name}", missing)
        self.display.info(f"{calls - missing:,} of {calls:,} calls have a verdict already")
        till = _UsageCounter(self.ledger.model_usage(self.judge.model))
        for answer in self.judge.answers(self._questions(till, limit)):
            self._save_answer(answer)
            till.add(answer.usage, charged=bool(answer.body) or answer.failure == "timeout")
            stage.advance()

    def play(self) -> None:
        """Ask all that the budget allows; of a mixed tournament, round by round."""
        self.ask()
        while (
            self.budget.allows_call(self.ledger.model_usage(self.judge.model), in_flight=0)
            and self.next_round()
        ):
            self.ask()

    def send_batches(self) -> list[SubmittedBatch]:
        """Send what has no verdict yet in batches; the first question is asked by itself, to learn what the endpoint can do.

        Raises:
            UsageError: if the judge takes no batches.
        """
        judge = self._batch_judge
        if not self.ledger.model_usage(self.judge.model).calls:
            self.ask(limit=1)
        till = _UsageCounter(self.ledger.model_usage(self.judge.model))
        shards = []
        for shard in judge.submit(self._questions(till, None), known=self.ledger.all_batches()):
            self.ledger.add_batch(shard.id, self.id, self.judge.model, shard.keys)
            shards.append(shard)
        return shards

    def collect_batches(self) -> dict[str, str]:
        """Write down the answers of batches that have ended; gives the state of each that was waited for."""
        judge, states = self._batch_judge, {}
        for batch in self.ledger.open_batches(self.judge.model):
            found = judge.collect(batch)
            states[batch] = found.state
            for answer in found.answers:
                self._save_answer(answer, batch=batch)
            if found.ended:
                lost = self.ledger.close_batch(batch, found.state)
                if lost:
                    self.display.warn(
                        f"batch {batch} is {found.state}; {lost} of its calls have no reply and are asked again next time"
                    )
        return states

    def reparse(self) -> int:
        """Read all raw replies again; gives how many."""
        read = (
            (call, key, self.judge.read(body))
            for call, key, body in self.ledger.raw_replies(self.id)
        )
        return self.ledger.replace_verdicts(list(read), parser=self.judge.parser)

    def question(self, call: PendingCall) -> Question:
        """A call as a judge gets it."""
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
        verdict = (
            Verdict(outcome=answer.failure, reason=answer.message)
            if answer.failure
            else self.judge.read(answer.body)
        )
        self.ledger.add_answer(
            answer,
            verdict,
            model=self.judge.model,
            endpoint=self.judge.endpoint,
            parser=self.judge.parser,
            batch=batch,
        )

    def _questions(self, counter: "_UsageCounter", limit: int | None) -> Iterator[Question]:
        asked: set[str] = set()
        for call in self.ledger.pending(self.id):
            if call.key in asked:
                continue
            if not self.budget.allows_call(counter.total, in_flight=counter.in_flight) or (
                limit is not None and len(asked) >= limit
            ):
                return
            asked.add(call.key)
            question = self.question(call)
            counter.in_flight += 1
            yield question

    def _plan_match(self, match: Match) -> PlannedMatch:
        one = self.pictures.files.get((match.one, match.concept, match.prompt, match.seed))
        two = self.pictures.files.get(
            (match.two, match.other_concept or match.concept, match.prompt, match.seed)
        )
        if match.control in ("noise", "text"):
            two = one and (NOISE_PREFIX if match.control == "noise" else TEXT_PREFIX) + one
        if one is None or two is None:
            return PlannedMatch(match=match)
        repeat = 1 if match.control == "repeat" else 0
        text = self._text(match.criterion, match.concept, match.prompt)
        both = self.design.both_orders
        return PlannedMatch(
            match=match,
            first=one,
            second=two,
            order_ab=self._key(text, one, two, repeat),
            order_ba=self._key(text, two, one, repeat) if both else None,
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
        asked = [
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
        return hashlib.sha256(
            json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()[:32]


@dataclass
class _UsageCounter:
    """What was spent, counted while calls fly."""

    total: ModelUsage
    in_flight: int = 0

    def add(self, usage: Usage, *, charged: bool) -> None:
        self.in_flight -= 1
        total = self.total.usage
        more = Usage(
            asked=total.asked + usage.asked,
            cached=total.cached + usage.cached,
            replied=total.replied + usage.replied,
        )
        self.total = replace(self.total, calls=self.total.calls + charged, usage=more)
