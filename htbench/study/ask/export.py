"""Export of a run's pictures as a study: a page to publish, and a key to keep."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from htbench.core import content
from htbench.core.errors import UnknownName, UsageError
from htbench.judging import pairs as pairing
from htbench.judging import pictures, schedule
from htbench.judging.card import PictureSettings
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import PictureLoader
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.study import manifest, records
from htbench.study.answer import NOISE, Item, Key
from htbench.study.ask import page
from htbench.study.ask.assignment import AssignedTrial, assign
from htbench.study.ask.options import StudyOptions
from htbench.study.ask.page import Page, Trial
from htbench.study.collect import intake
from htbench.study.exclusions import Rules
from htbench.study.manifest import Manifest

QUESTIONS = {
    "presence": "Which picture looks more like {prompt}, {concept}?",
    "preservation": "Which picture looks more like {prompt}?",
    "quality": "Which picture is of better quality?",
    "overall": "Which is the better picture of {prompt}, {concept}?",
}
_ABOUT_TEMPLATE = """# What the report says of the study; fill in.
task = {task}
interface = "Static web page of htbench: two pictures side by side, mouse, touch or keyboard"
recruitment = ""
qualification = ""
pay = ""
consent = ""
"""


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """The size of an exported study."""

    pairs: int
    sheets: int
    trials: tuple[int, int]
    """Number of trials of the shortest and the longest sheet."""
    pictures: int
    bytes: int


def write(run: Path, folder: Path, options: StudyOptions) -> ExportSummary:
    """Write a study of a run into a new folder.

    Raises:
        UnknownName: for an unknown criterion or method.
        UsageError: if the folder holds a study already, or the run has no pairs to compare.
    """
    _refuse_another_study(folder)
    if options.criterion not in QUESTIONS and not options.question:
        raise UnknownName(
            "criterion", options.criterion, QUESTIONS, remedy="Or give your own --question."
        )
    with Store.read(run) as store:
        summary = Summary(store)
        strength = summary.full_strength if options.strength is None else options.strength
        families = summary.families
        candidates = pairing.find_pictures(store, methods=options.methods, strength=strength)
    matches = list(_matches(candidates, options))
    if not matches:
        raise UsageError(
            "the run has no two pictures of one concept, prompt and seed by two methods",
            remedy="Finish it, or choose another --strength.",
        )
    sheets = assign(
        len(matches),
        raters=options.raters,
        votes=options.votes,
        checks=options.checks,
        catch_trials=options.sentinels,
        repeats=options.repeats,
        seed=options.seed,
    )
    items = _BlindedItems(run=run, candidates=candidates, matches=matches, options=options)
    trials = [[items.trial(task) for task in sheet] for sheet in sheets]
    text = page.render(_page(trials, options)).html
    with records.locked(folder):
        _refuse_another_study(folder)
        sizes = _write_files(folder, text, items.pictures())
        manifest.write(
            folder,
            Manifest(
                run=run.resolve().name,
                strength=strength,
                wish=asdict(options),
                families={
                    concept: tuple(families.get(concept, ())) for concept in candidates.concepts
                },
            ),
        )
        _write_texts(folder, options, sheets=len(sheets))
        items.key.write(folder / intake.KEY_FILE)  # the last: with it the study is whole
    lengths = [len(sheet) for sheet in sheets]
    return ExportSummary(
        pairs=len(matches),
        sheets=len(sheets),
        trials=(min(lengths), max(lengths)),
        pictures=len(sizes) - 1,
        bytes=sum(sizes),
    )


def _refuse_another_study(folder: Path) -> None:
    if (folder / intake.KEY_FILE).exists():
        raise UsageError(
            f"{str(folder)!r} holds a study already, whose key would be lost",
            remedy="Choose another --study.",
        )


def _write_files(folder: Path, text: str, pictures: Iterable[tuple[str, bytes]]) -> list[int]:
    """Write the page and its pictures, and delete those of an export that was killed.

    Gives the files' sizes in bytes.
    """
    public = (folder / page.FILE).parent / "pictures"
    public.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for name, data in pictures:
        content.write_whole(public / name, data)
        sizes[name] = len(data)
    content.write_whole(folder / page.FILE, text)
    for path in public.glob("*.png"):
        if path.name not in sizes:
            path.unlink()
    return [len(text.encode()), *sizes.values()]


def _page(sheets: Sequence[Sequence[Trial]], options: StudyOptions) -> Page:
    return Page(
        sheets=sheets,
        question=_question(options),
        consent=options.consent,
        debrief=options.debrief,
        concept=options.criterion != "quality",
        ties=options.ties,
        post=options.post,
        done=options.done,
    )


def _write_texts(folder: Path, options: StudyOptions, *, sheets: int) -> None:
    """Write the rules, the form about the study and the links of its sheets."""
    about = _ABOUT_TEMPLATE.format(task=json.dumps(_question(options), ensure_ascii=False))
    links = "".join(f"index.html?sheet={k}\n" for k in range(1, sheets + 1))
    content.write_whole(folder / intake.RULES_FILE, Rules().text())
    content.write_whole(folder / intake.ABOUT_FILE, about)
    content.write_whole(folder / "links.txt", links)


class _BlindedItems:
    """Meaningless ids and file names for the pairs that are shown, with the key to them."""

    def __init__(
        self,
        *,
        run: Path,
        candidates: ComparablePictures,
        matches: Sequence[schedule.Match],
        options: StudyOptions,
    ) -> None:
        self._candidates, self._matches = candidates, matches
        settings = PictureSettings(size=options.size, format="png")
        self._pictures = PictureLoader(run / "images", settings)
        self._salt = token_hex(16)
        self._blinded_names: dict[str, str] = {}
        self._item_ids: dict[AssignedTrial, str] = {}
        self.key = Key()

    def trial(self, task: AssignedTrial) -> Trial:
        """A trial for the page."""
        match = self._matches[task.pair_index]
        other = NOISE if task.kind == "sentinel" else match.two
        swapped = task.expected == "right" if task.kind == "sentinel" else task.swapped
        left, right = (other, match.one) if swapped else (match.one, other)
        if task not in self._item_ids:
            self._item_ids[task] = self._add_item(task, match, left, right)
        return {
            "item": self._item_ids[task],
            "concept": self._candidates.concepts[match.concept],
            "prompt": match.prompt,
            "check": task.expected if task.kind == "check" else "",
            "left": self._blinded_name(left, match),
            "right": self._blinded_name(right, match),
        }

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of the files that trials show."""
        for file, name in self._blinded_names.items():
            yield name, self._pictures.load(file).data

    def _add_item(self, task: AssignedTrial, match: schedule.Match, left: str, right: str) -> str:
        id_ = f"i{sha256(f'{self._salt}{task}'.encode()).hexdigest()[:7]}"
        if id_ in self.key:
            raise UsageError(
                "two items got the same id by chance", remedy="Issue the command again."
            )
        self.key[id_] = Item(
            item=id_,
            kind=task.kind,
            expected=task.expected,
            criterion=match.criterion,
            concept=match.concept,
            prompt=match.prompt,
            seed=match.seed,
            left=left,
            right=right,
        )
        return id_

    def _blinded_name(self, method: str, match: schedule.Match) -> str:
        file = self._candidates.files[
            match.one if method == NOISE else method, match.concept, match.prompt, match.seed
        ]
        file = f"{pictures.NOISE_PREFIX}{file}" if method == NOISE else file
        return self._blinded_names.setdefault(
            file, f"{sha256(f'{self._salt}{file}'.encode()).hexdigest()[:16]}.png"
        )


def _matches(candidates: ComparablePictures, options: StudyOptions) -> Iterator[schedule.Match]:
    """Pairs of pictures, balanced over methods and concepts, with random sides.

    Pairs of identical pictures are left out.
    """
    design = schedule.Design(
        methods=candidates.methods,
        criteria=(options.criterion,),
        against=options.against,
        controls=0,
        seed=options.seed,
    )
    concepts = list(candidates.concepts)
    random.Random(f"concepts {options.seed}").shuffle(concepts)
    remaining = options.pairs
    for match in schedule.round_robin(design, concepts, candidates.prompt_seeds):
        files = [
            candidates.files.get((method, match.concept, match.prompt, match.seed))
            for method in (match.one, match.two)
        ]
        if remaining and None not in files and files[0] != files[1]:
            remaining -= 1
            yield match


def _question(options: StudyOptions) -> str:
    return options.question or QUESTIONS[options.criterion]
