"""Export of pictures as a study, of a run or a file of pairs: a page to publish, a key to keep."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from htbench.core import content
from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import method_and_strength
from htbench.judging import pictures as pictures_of_judges
from htbench.judging.card import PictureSettings
from htbench.judging.pictures import PictureLoader
from htbench.run.store import Store
from htbench.study import manifest, records, task
from htbench.study.answer import BETWEEN_NAMES, NOISE, Item, Key
from htbench.study.ask import page, pair_file, shown
from htbench.study.ask.assignment import AssignedTrial, assign
from htbench.study.ask.options import StudyOptions
from htbench.study.ask.page import Page, Trial
from htbench.study.ask.shown import Shown, ShownPictures
from htbench.study.collect import intake
from htbench.study.exclusions import Rules
from htbench.study.manifest import Manifest
from htbench.study.task import Task

_ABOUT_TEMPLATE = """# What the report says of the study; fill in.
task = {task}
interface = "Static web page of htbench: {layout}, mouse, touch or keyboard"
recruitment = ""
qualification = ""
pay = ""
consent = ""
"""
_LAYOUTS = {
    "pair": "two pictures side by side",
    "one": "one picture at a time",
    "set": "several pictures side by side",
}


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """The size of an exported study."""

    pairs: int
    """Number of pairs, single pictures or sets."""
    sheets: int
    trials: tuple[int, int]
    """Number of trials of the shortest and the longest sheet."""
    pictures: int
    bytes: int


def write(source: Path, folder: Path, options: StudyOptions) -> ExportSummary:
    """Write a study of a run, or of the pairs in a file, into a new folder.

    Args:
        source: the folder of the run, or the file.

    Raises:
        UnknownName: for an unknown task, criterion or method.
        UsageError: if the folder holds a study already, if options contradict each other, if the
            run has no pictures to show, or if the file is not valid.
    """
    _refuse_another_study(folder)
    asked = task.find(options.task)
    criterion = options.criterion or next(iter(asked.questions))
    if criterion not in asked.questions and not options.question:
        raise UnknownName(
            "criterion", criterion, asked.questions, remedy="Or give your own --question."
        )
    with _choosing(source, options, criterion) as chosen:
        size = len(chosen.shown[0].files)
        sheets = assign(
            len(chosen.shown),
            raters=options.raters,
            votes=options.votes,
            checks=options.checks,
            catch_trials=options.sentinels,
            repeats=options.repeats,
            seed=options.seed,
            orders=size,
            check_answers=asked.check_answers(size),
            catch_answers=asked.catch_answers(size),
        )
        items = _BlindedItems(chosen=chosen, task=asked, criterion=criterion, options=options)
        trials = [[items.trial(each) for each in sheet] for sheet in sheets]
        question = options.question or asked.questions[criterion]
        text = page.render(_page(trials, options, asked, criterion, question, size)).html
        with records.locked(folder):
            _refuse_another_study(folder)
            sizes = _write_files(folder, text, items.pictures())
            manifest.write(
                folder,
                Manifest(
                    run=source.resolve().name if source.is_dir() else "",
                    task=options.task,
                    strength=chosen.strength,
                    wish=asdict(options),
                    families=chosen.families,
                ),
            )
            _write_texts(folder, asked, question, sheets=len(sheets))
            items.key.write(folder / intake.KEY_FILE)  # the last: with it the study is whole
    lengths = [len(sheet) for sheet in sheets]
    return ExportSummary(
        pairs=len(chosen.shown),
        sheets=len(sheets),
        trials=(min(lengths), max(lengths)),
        pictures=len(sizes) - 1,
        bytes=sum(sizes),
    )


@contextmanager
def _choosing(source: Path, options: StudyOptions, criterion: str) -> Iterator[ShownPictures]:
    """The pictures to show; those of a file are in a temporary folder."""
    if source.is_dir():
        with Store.read(source) as store:
            chosen = shown.choose(store, options, criterion)
        yield chosen
    else:
        with tempfile.TemporaryDirectory() as images:
            yield pair_file.choose(source, options, images=Path(images))


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


def _page(
    sheets: Sequence[Sequence[Trial]],
    options: StudyOptions,
    asked: Task,
    criterion: str,
    question: str,
    size: int,
) -> Page:
    return Page(
        sheets=sheets,
        question=question,
        instruction=asked.instruction,
        consent=asked.consent if options.consent is None else options.consent,
        debrief=asked.debrief if options.debrief is None else options.debrief,
        concept=criterion != "quality",
        ties=options.ties and options.task == "pairs",
        post=options.post,
        done=options.done,
        task=options.task,
        answers=asked.answers(size),
        labels=asked.labels(criterion),
        noun=asked.noun,
    )


def _write_texts(folder: Path, asked: Task, question: str, *, sheets: int) -> None:
    """Write the rules, the form about the study and the links of its sheets."""
    layout = _LAYOUTS[asked.pictures]
    about = _ABOUT_TEMPLATE.format(task=json.dumps(question, ensure_ascii=False), layout=layout)
    links = "".join(f"index.html?sheet={k}\n" for k in range(1, sheets + 1))
    # people may rightly give one answer to many single pictures in a row
    rules = Rules(longest_run=0) if asked.pictures == "one" else Rules()
    content.write_whole(folder / intake.RULES_FILE, rules.text())
    content.write_whole(folder / intake.ABOUT_FILE, about)
    content.write_whole(folder / "links.txt", links)


class _BlindedItems:
    """Meaningless ids and file names for what is shown, with the key to them."""

    def __init__(
        self,
        *,
        chosen: ShownPictures,
        task: Task,
        criterion: str,
        options: StudyOptions,
    ) -> None:
        self._chosen, self._task, self._criterion = chosen, task, criterion
        settings = PictureSettings(size=options.size, format="png")
        self._pictures = PictureLoader(chosen.images, settings)
        self._salt = token_hex(16)
        self._blinded_names: dict[str, str] = {}
        self._item_ids: dict[AssignedTrial, str] = {}
        self.key = Key()

    def trial(self, task: AssignedTrial) -> Trial:
        """A trial for the page."""
        shown = self._chosen.shown[task.pair_index]
        pictures = self._arranged(task, shown)
        names, files = [name for name, _ in pictures], [file for _, file in pictures]
        if task not in self._item_ids:
            self._item_ids[task] = self._add_item(task, shown, names)
        blinded = [self._blinded_name(file) for file in files]
        is_pair = self._task.pictures == "pair"
        return {
            "item": self._item_ids[task],
            "concept": self._chosen.concepts[shown.concept],
            "prompt": shown.prompt,
            "check": task.expected if task.kind == "check" else "",
            "left": blinded[0] if is_pair else " ".join(blinded),
            "right": blinded[1] if is_pair else "",
        }

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of the files that trials show."""
        for file, name in self._blinded_names.items():
            yield name, self._pictures.load(file).data

    def _arranged(self, task: AssignedTrial, shown: Shown) -> list[tuple[str, str]]:
        """Names and files in the order of a trial.

        A sentinel shows its first picture, or the stronger one, beside noise, or noise alone where
        one is shown.
        """
        pictures = list(zip(shown.names, shown.files, strict=True))
        if task.kind != "sentinel":
            turn = task.turn % len(pictures)
            return [*pictures[turn:], *pictures[:turn]]
        first, *_ = pictures
        if self._task.name == "strength":
            first = max(pictures, key=lambda each: method_and_strength(each[0])[1])
        if self._task.pictures == "pair":
            noise = (NOISE, f"{pictures_of_judges.NOISE_PREFIX}{first[1]}")
            return [noise, first] if task.expected == "right" else [first, noise]
        # named after the pictures, since of two answers to the same names the first counts
        arranged = [
            (f"{NOISE} {name}", f"{pictures_of_judges.NOISE_PREFIX}{file}")
            for name, file in pictures
        ]
        if self._task.pictures == "set":
            arranged[int(task.expected) - 1] = first
        return arranged

    def _add_item(self, task: AssignedTrial, shown: Shown, names: Sequence[str]) -> str:
        id_ = f"i{sha256(f'{self._salt}{task}'.encode()).hexdigest()[:7]}"
        if id_ in self.key:
            raise UsageError(
                "two items got the same id by chance", remedy="Issue the command again."
            )
        is_pair = self._task.pictures == "pair"
        self.key[id_] = Item(
            item=id_,
            kind=task.kind,
            expected=task.expected,
            criterion=self._criterion,
            concept=shown.concept,
            prompt=shown.prompt,
            seed=shown.seed,
            left=names[0] if is_pair else BETWEEN_NAMES.join(names),
            right=names[1] if is_pair else "",
        )
        return id_

    def _blinded_name(self, file: str) -> str:
        return self._blinded_names.setdefault(
            file, f"{sha256(f'{self._salt}{file}'.encode()).hexdigest()[:16]}.png"
        )
