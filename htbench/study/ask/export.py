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
from htbench.judging.card import PictureSettings
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import PictureLoader
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.study import manifest
from htbench.study.answer import NOISE, Item, Key
from htbench.study.ask import page
from htbench.study.ask.assignment import AssignedTrial, assign
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
_ABOUT_TEMPLATE = """# What the report says of the study; fill in.
task = {task}
interface = "Static web page of htbench: two pictures side by side, mouse, touch or keyboard"
recruitment = ""
qualification = ""
pay = ""
consent = ""
"""


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
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
class ExportSummary:
    """What was written."""

    pairs: int
    sheets: int
    trials: tuple[int, int]
    """Of the shortest and of the longest sheet."""
    pictures: int
    bytes: int


def write(run: Path, folder: Path, options: StudyOptions) -> ExportSummary:
    """Write a study of a run into a new folder.

    Raises:
        UnknownName: for a criterion or a method that there is not.
        UsageError: if the folder holds a study already, or the run has no pairs to compare.
    """
    if (folder / intake.KEY_FILE).exists():
        raise UsageError(
            f"{str(folder)!r} holds a study already, whose key would be lost",
            remedy="Choose another --study.",
        )
    if options.criterion not in QUESTIONS and not options.question:
        raise UnknownName(
            "criterion", options.criterion, QUESTIONS, remedy="Or give your own --question."
        )
    with Store.read(run) as store:
        strength = Summary(store).full_strength if options.strength is None else options.strength
        found = pairing.find_pictures(store, methods=options.methods, strength=strength)
    matches = list(_matches(found, options))
    if not matches:
        raise UsageError(
            "the run has no two pictures of one concept, prompt and seed by two methods",
            remedy="Finish it, or choose another --strength.",
        )
    sheets = assign(len(matches), raters=options.raters, votes=options.votes, checks=options.checks, catch_trials=options.sentinels, repeats=options.repeats,
                    seed=options.seed)  # fmt: skip
    book = _BlindedItems(run=run, candidates=found, matches=matches, options=options)
    trials = [[book.trial(task) for task in sheet] for sheet in sheets]
    text = page.render(
        Page(
            sheets=trials,
            question=_question(options),
            consent=options.consent,
            concept=options.criterion != "quality",
            ties=options.ties,
            post=options.post,
            done=options.done,
        )
    )
    shown = (folder / page.FILE).parent
    (shown / "pictures").mkdir(parents=True, exist_ok=True)
    for name, data in book.pictures():
        (shown / "pictures" / name).write_bytes(data)
    (folder / page.FILE).write_text(text, encoding="utf-8")
    book.key.write(folder / intake.KEY_FILE)
    manifest.write(folder, run=run.resolve().name, strength=strength, wish=asdict(options))
    (folder / intake.RULES_FILE).write_text(Rules().text(), encoding="utf-8")
    (folder / intake.ABOUT_FILE).write_text(
        _ABOUT_TEMPLATE.format(task=json.dumps(_question(options), ensure_ascii=False)),
        encoding="utf-8",
    )
    (folder / "links.txt").write_text(
        "".join(f"index.html?sheet={k}\n" for k in range(1, len(sheets) + 1)), encoding="utf-8"
    )
    written = [path.stat().st_size for path in shown.rglob("*") if path.is_file()]
    lengths = [len(sheet) for sheet in sheets]
    return ExportSummary(
        pairs=len(matches),
        sheets=len(sheets),
        trials=(min(lengths), max(lengths)),
        pictures=len(written) - 1,
        bytes=sum(written),
    )


class _BlindedItems:
    """Gives pairs, as they are shown, ids and file names that say nothing, and remembers what they stand for."""

    def __init__(
        self,
        *,
        run: Path,
        candidates: ComparablePictures,
        matches: Sequence[schedule.Match],
        options: StudyOptions,
    ) -> None:
        self._candidates, self._matches, self._options = candidates, matches, options
        self._gallery = PictureLoader(
            run / "images", PictureSettings(size=options.size, format="png")
        )
        self._salt = token_hex(16)
        self._blinded_names: dict[str, str] = {}
        self._item_ids: dict[AssignedTrial, str] = {}
        self.key = Key()

    def trial(self, task: AssignedTrial) -> Trial:
        """A trial as the page has it."""
        match = self._matches[task.pair_index]
        other = NOISE if task.kind == "sentinel" else match.two
        swapped = task.expected == "right" if task.kind == "sentinel" else task.swapped
        left, right = (other, match.one) if swapped else (match.one, other)
        if task not in self._item_ids:
            item = self._item_ids[task] = (
                f"i{sha256(f'{self._salt}{task}'.encode()).hexdigest()[:7]}"
            )
            if item in self.key:
                raise UsageError(
                    "two items got the same id by chance", remedy="Issue the command again."
                )
            self.key[item] = Item(
                item=item, kind=task.kind, expected=task.expected, criterion=match.criterion, concept=match.concept, prompt=match.prompt, seed=match.seed,
                left=left, right=right,
            )  # fmt: skip
        instruction = task.expected if task.kind == "check" else ""
        shown = {
            side: self._blinded_name(method, match)
            for side, method in (("left", left), ("right", right))
        }
        return {
            "item": self._item_ids[task],
            "concept": self._candidates.concepts[match.concept],
            "prompt": match.prompt,
            "check": instruction,
            **shown,
        }

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of the files that trials show."""
        for file, name in self._blinded_names.items():
            yield name, self._gallery.load(file).data

    def _blinded_name(self, method: str, match: schedule.Match) -> str:
        file = self._candidates.files[
            match.one if method == NOISE else method, match.concept, match.prompt, match.seed
        ]
        file = f"{pictures.NOISE_PREFIX}{file}" if method == NOISE else file
        return self._blinded_names.setdefault(
            file, f"{sha256(f'{self._salt}{file}'.encode()).hexdigest()[:16]}.png"
        )


def _matches(candidates: ComparablePictures, options: StudyOptions) -> Iterator[schedule.Match]:
    """Balanced over methods and concepts; which method is on the left is drawn. Pairs whose pictures are the same file are no question."""
    plan = schedule.Design(
        methods=candidates.methods,
        criteria=(options.criterion,),
        against=options.against,
        controls=0,
        seed=options.seed,
    )
    concepts = list(candidates.concepts)
    random.Random(f"concepts {options.seed}").shuffle(concepts)
    left = options.pairs
    for match in schedule.round_robin(plan, concepts, candidates.prompt_seeds):
        files = [
            candidates.files.get((method, match.concept, match.prompt, match.seed))
            for method in (match.one, match.two)
        ]
        if left and None not in files and files[0] != files[1]:
            left -= 1
            yield match


def _question(options: StudyOptions) -> str:
    return options.question or QUESTIONS[options.criterion]
