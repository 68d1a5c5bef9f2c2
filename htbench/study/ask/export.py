"""A run's pictures as a study: a page to publish, and a key to keep."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from htbench.core.errors import UnknownName, UsageError
from htbench.judging import pairs as pairing
from htbench.judging import pictures, schedule
from htbench.judging.card import Pictures
from htbench.judging.pairs import Grounds
from htbench.judging.pictures import Gallery
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.study import manifest
from htbench.study.answer import NOISE, Item, Key
from htbench.study.ask import page
from htbench.study.ask.assignment import Task, assign
from htbench.study.ask.page import Page, Trial
from htbench.study.collect import intake
from htbench.study.exclusions import Rules

QUESTIONS = {
    "presence": "Which picture shows the concept better?",
    "preservation": "Which picture fits the description better?",
    "quality": "Which picture has the better quality?",
    "overall": "Which picture is better overall?",
}
CONSENT = (
    "You will compare pictures that a computer made. Taking part is voluntary: you can stop at any time by closing this page. "
    "We keep your answers, how long each took, and the participant id you give, which is replaced by a pseudonym when the answers are read."
)
_ABOUT = """# What the report says of the study; fill in.
task = {task}
interface = "Static web page of htbench: two pictures side by side, mouse, touch or keyboard"
recruitment = ""
qualification = ""
pay = ""
consent = ""
"""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What study is wanted."""

    methods: tuple[str, ...] = ()
    criterion: str = "presence"
    question: str = ""
    """In place of the criterion's own."""
    against: str = ""
    strength: float | None = None
    pairs: int = 200
    raters: int = 20
    votes: int = 5
    checks: int = 2
    sentinels: int = 2
    repeats: int = 4
    ties: bool = True
    consent: str = CONSENT
    post: str = ""
    """Address that answers are also sent to."""
    done: str = ""
    """Address that people are sent to at the end, such as Prolific's."""
    size: int = 512
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    pairs: int
    sheets: int
    trials: tuple[int, int]
    """Of the shortest and of the longest sheet."""
    pictures: int
    bytes: int


def write(run: Path, folder: Path, wish: Wish) -> Exported:
    """Write a study of a run into a new folder.

    Raises:
        UnknownName: for a criterion or a method that there is not.
        UsageError: if the folder holds a study already, or the run has no pairs to compare.
    """
    if (folder / intake.KEY).exists():
        raise UsageError(f"{str(folder)!r} holds a study already, whose key would be lost", remedy="Choose another --study.")
    if wish.criterion not in QUESTIONS and not wish.question:
        raise UnknownName("criterion", wish.criterion, QUESTIONS, remedy="Or give your own --question.")
    with Store.read(run) as store:
        strength = Summary(store).full if wish.strength is None else wish.strength
        found = pairing.survey(store, methods=wish.methods, strength=strength)
    matches = list(_matches(found, wish))
    if not matches:
        raise UsageError("the run has no two pictures of one concept, prompt and seed by two methods", remedy="Finish it, or choose another --strength.")
    sheets = assign(len(matches), raters=wish.raters, votes=wish.votes, checks=wish.checks, sentinels=wish.sentinels, repeats=wish.repeats,
                    seed=wish.seed)  # fmt: skip
    book = _Book(run=run, found=found, matches=matches, wish=wish)
    trials = [[book.trial(task) for task in sheet] for sheet in sheets]
    text = page.render(
        Page(sheets=trials, question=_question(wish), consent=wish.consent, concept=wish.criterion != "quality", ties=wish.ties, post=wish.post, done=wish.done)
    )
    shown = (folder / page.FILE).parent
    (shown / "pictures").mkdir(parents=True, exist_ok=True)
    for name, data in book.pictures():
        (shown / "pictures" / name).write_bytes(data)
    (folder / page.FILE).write_text(text, encoding="utf-8")
    book.key.write(folder / intake.KEY)
    manifest.note(folder, run=run.resolve().name, strength=strength, wish=asdict(wish))
    (folder / intake.RULES).write_text(Rules().text(), encoding="utf-8")
    (folder / intake.ABOUT).write_text(_ABOUT.format(task=json.dumps(_question(wish), ensure_ascii=False)), encoding="utf-8")
    (folder / "links.txt").write_text("".join(f"index.html?sheet={k}\n" for k in range(1, len(sheets) + 1)), encoding="utf-8")
    written = [path.stat().st_size for path in shown.rglob("*") if path.is_file()]
    lengths = [len(sheet) for sheet in sheets]
    return Exported(pairs=len(matches), sheets=len(sheets), trials=(min(lengths), max(lengths)), pictures=len(written) - 1, bytes=sum(written))


class _Book:
    """Gives pairs, as they are shown, ids and file names that say nothing, and remembers what they stand for."""

    def __init__(self, *, run: Path, found: Grounds, matches: Sequence[schedule.Match], wish: Wish) -> None:
        self._found, self._matches, self._wish = found, matches, wish
        self._gallery = Gallery(run / "images", Pictures(size=wish.size, format="png"))
        self._salt = token_hex(16)
        self._files: dict[str, str] = {}
        self._items: dict[Task, str] = {}
        self.key = Key()

    def trial(self, task: Task) -> Trial:
        """A trial as the page has it."""
        match = self._matches[task.pair]
        other = NOISE if task.kind == "sentinel" else match.two
        swapped = task.expected == "right" if task.kind == "sentinel" else task.swapped
        left, right = (other, match.one) if swapped else (match.one, other)
        if task not in self._items:
            item = self._items[task] = f"i{sha256(f'{self._salt}{task}'.encode()).hexdigest()[:7]}"
            if item in self.key:
                raise UsageError("two items got the same id by chance", remedy="Issue the command again.")
            self.key[item] = Item(
                item=item, kind=task.kind, expected=task.expected, criterion=match.criterion, concept=match.concept, prompt=match.prompt, seed=match.seed,
                left=left, right=right,
            )  # fmt: skip
        instruction = task.expected if task.kind == "check" else ""
        shown = {side: self._file(method, match) for side, method in (("left", left), ("right", right))}
        return {"item": self._items[task], "concept": self._found.concepts[match.concept], "prompt": match.prompt, "check": instruction, **shown}

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of the files that trials show."""
        for file, name in self._files.items():
            yield name, self._gallery.shown(file).data

    def _file(self, method: str, match: schedule.Match) -> str:
        file = self._found.files[match.one if method == NOISE else method, match.concept, match.prompt, match.seed]
        file = f"{pictures.NOISE}{file}" if method == NOISE else file
        return self._files.setdefault(file, f"{sha256(f'{self._salt}{file}'.encode()).hexdigest()[:16]}.png")


def _matches(found: Grounds, wish: Wish) -> Iterator[schedule.Match]:
    """Balanced over methods and concepts; which method is on the left is drawn. Pairs whose pictures are the same file are no question."""
    plan = schedule.Design(methods=found.methods, criteria=(wish.criterion,), against=wish.against, controls=0, seed=wish.seed)
    concepts = list(found.concepts)
    random.Random(f"concepts {wish.seed}").shuffle(concepts)
    left = wish.pairs
    for match in schedule.schedule(plan, concepts, found.units):
        files = [found.files.get((method, match.concept, match.prompt, match.seed)) for method in (match.one, match.two)]
        if left and None not in files and files[0] != files[1]:
            left -= 1
            yield match


def _question(wish: Wish) -> str:
    return wish.question or QUESTIONS[wish.criterion]
