"""Verification of pictures: a sample is made again, by the model and the interventions."""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from htbench.bundles.findings import Finding, each_differs, holds, unchecked
from htbench.bundles.records import Part, installed_card
from htbench.bundles.rescore import drop_scores, read_scores
from htbench.core import device as devices
from htbench.core import pictures, registry
from htbench.core.display import Display
from htbench.core.errors import HtbenchError
from htbench.core.types import Digest
from htbench.run import sessions, tasks
from htbench.run.add_scores import add_scores
from htbench.run.plan import Plan, choose_concepts, image_seed, map_file
from htbench.run.store import CellRow, GeneratedImage, Store
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.wording import CANONICAL, choose, phrasings

if TYPE_CHECKING:
    from htbench.steering.intervention import Intervention
    from htbench.steering.method import TrainedMethod
    from htbench.steering.model import Model

LEVELS = 2.0
"""Largest mean difference of a picture that was made on another kind of machine, in levels of
255."""
SCORE_TOLERANCE = 0.02
"""Largest difference of a score of such a picture from that of the bundle's."""
_SURROUNDINGS = ("platform", "cpu", "device", "python", "torch", "diffusers", "threads")
"""Parts of the environment that make machines of one kind, which give the same bytes."""
_KNOWN_WEIGHTS = ("", "hub", "random")


@dataclass(frozen=True, kw_only=True)
class RemakeOptions:
    """Settings for making pictures again."""

    number: int = 20
    """Pictures that are drawn."""
    seed: int = 0
    """Seed of the draw, which whoever packed the run could not know."""
    refit: bool = False
    """Fit the interventions of all methods anew, not only predict them."""
    load_options: Mapping[str, str] | None = None
    """Options to load the model with, in place of the run's."""
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture to make again."""

    part: Part
    row: CellRow
    batch: int
    environment: Mapping[str, Any]
    """The environment of the session that made it."""

    @property
    def threads(self) -> int:
        """Number of processor threads that made it; 0 if unknown or too large for this machine."""
        threads = self.environment.get("threads")
        return threads if isinstance(threads, int) and 1 <= threads <= _max_threads() else 0

    @property
    def number(self) -> int:
        """The number of the image of its prompt, by which a concept's wording is chosen."""
        if self.part.wording == CANONICAL:
            return 0
        seeds = range(self.part.plan.seeds)
        return next((n for n in seeds if image_seed(self.row.prompt, n) == self.row.seed), 0)

    @property
    def applied(self) -> CellRow:
        """The row with the strength at which its method is applied in the task of the run."""
        direction = tasks.find(self.part.plan.task).direction
        return replace(self.row, strength=direction * self.row.strength)

    def __str__(self) -> str:
        row = self.row
        return f"{self.part.title}image of {row.method}, {row.concept}, {row.prompt[:60]!r}, " + (
            f"strength {row.strength:g}"
        )


@dataclass(frozen=True, kw_only=True)
class _Remade:
    """A picture that was made again."""

    drawn: Drawn
    png: bytes
    is_same_kind: bool
    """True if this machine is of the kind that made the picture."""


class NotHere(Exception):
    """The reason why pictures cannot be made again on this machine."""


def remake(
    parts: Sequence[Part], options: RemakeOptions, *, scorers: Sequence[str], display: Display
) -> Iterator[Finding]:
    """Make a sample of the pictures again, and compare them with the bundle's.

    On the machine's own kind the bytes have to be the same. On another, the mean difference of
    levels is at most `LEVELS`, and scores by the first of `scorers` change by `SCORE_TOLERANCE`.
    """
    drawn = draw(parts, options)
    try:
        concept_set = parts[0].concept_set
        if concept_set is None:
            raise NotHere("their concept set is not here")
        model, device = _load_model(parts[0], options)
        maker = _Maker(model=model, concept_set=concept_set, plan=parts[0].plan, options=options)
        stage = display.progress("make pictures again", len(drawn))
        remade = []
        for group in _groups(drawn):
            remade += maker.make(group, device)
            stage.advance(len(group))
    except (NotHere, HtbenchError) as error:
        yield unchecked(f"pictures cannot be made again: {error}")
        return
    yield holds(f"model {model.name} {model.revision} is here")
    yield from maker.findings()
    yield from _compare(remade)
    others = [each for each in remade if not _is_same(each)]
    if others and scorers:
        yield from _compare_scores(others, scorers[0], display=display)


def draw(parts: Sequence[Part], options: RemakeOptions) -> list[Drawn]:
    """Pictures drawn at random from all parts, in the order of parts and plan."""
    candidates = []
    for k, part in enumerate(parts):
        with Store.read(part.folder) as store:
            query = """SELECT min(place), id FROM cells JOIN images ON key = image
                       WHERE file IS NOT NULL GROUP BY image ORDER BY 1"""
            candidates += [(k, place, cell) for place, cell in store.select(query)]
    chosen = random.Random(options.seed).sample(candidates, min(options.number, len(candidates)))
    drawn = []
    for k, group in groupby(sorted(chosen), key=lambda each: each[0]):
        part, ids = parts[k], [cell for *_, cell in group]
        with Store.read(part.folder) as store:
            made = {each.id: each.environment for each in store.sessions()}
            query = "SELECT session, batch FROM images WHERE key = ?"
            for row in store.cells(ids):
                ((session, batch),) = store.select(query, row.image)
                largest = part.plan.batch
                drawn.append(
                    Drawn(
                        part=part,
                        row=row,
                        batch=batch if isinstance(batch, int) and 0 < batch < largest else largest,
                        environment=made.get(session, {}),
                    )
                )
    return drawn


def _groups(drawn: Sequence[Drawn]) -> Iterator[list[Drawn]]:
    """Pictures that are made in one batch: those of a part, a size of batch and of threads, and in
    which a concept is said in one way.
    """

    def key(each: Drawn) -> tuple[str, int, int, int]:
        return each.part.title, each.batch, each.threads, each.number

    for (_, size, _, _), group in groupby(sorted(drawn, key=key), key=key):
        alike = list(group)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _load_model(part: Part, options: RemakeOptions) -> tuple[Any, str]:
    """The model of a run on a device.

    Raises:
        NotHere: if it has other weights here, or only the bundle names where they are.
    """
    facts, plan = part.facts, part.plan
    if not facts.model.revision:
        raise NotHere("no model of htbench made them")
    own = plan.load_options()
    if options.load_options is None and own.get("weights", "") not in _KNOWN_WEIGHTS:
        raise NotHere(f"its weights are {own['weights'][:80]!r}; give them with --weights")
    device = devices.choose(options.device)
    model = registry.load_model(
        plan.model, device, own if options.load_options is None else options.load_options
    )
    if model.revision != facts.model.revision:
        raise NotHere(
            f"the run's model {facts.model.name} is {facts.model.revision}, and here is "
            f"{model.revision}"
        )
    return model, device


class _Maker:
    """Makes pictures again, and keeps which interventions were made anew."""

    def __init__(
        self, *, model: "Model", concept_set: ConceptSet, plan: Plan, options: RemakeOptions
    ) -> None:
        from htbench.run.workers.batch import BatchGenerator

        self._model, self._options = model, options
        self._generator = BatchGenerator(model)
        self._train = concept_set.splits["train"]
        self._concepts: dict[str, Concept] = {
            each.id: each for concepts in concept_set.splits.values() for each in concepts
        } | {each.id: each for each in choose_concepts(plan, concept_set)}
        self._trained: dict[tuple[str, str], TrainedMethod | None] = {}
        self._interventions: dict[tuple[str, str, Digest], Intervention | None] = {}
        self._anew: set[str] = set()
        self._from_bundle: set[str] = set()
        self._trained_there: set[str] = set()
        self._lost: set[str] = set()
        self._differences: list[str] = []

    def make(self, group: Sequence[Drawn], device: str) -> list[_Remade]:
        """The pictures of one batch, without those that have no intervention."""
        interventions = {
            (each.row.method, each.row.concept): found
            for each in group
            if each.row.is_steered and (found := self._intervention(each))
        }
        group = [
            each
            for each in group
            if not each.row.is_steered or (each.row.method, each.row.concept) in interventions
        ]
        if not group:
            return []
        with _threads(group[0].threads):
            batches, _ = self._generator.generate(
                [each.applied for each in group], interventions, batch_size=group[0].batch
            )
            here = _surroundings(device)
        made = [batch() for batch in batches]
        images: dict[Digest, GeneratedImage] = {}
        for batch in made:
            if batch.failure:
                raise NotHere(f"{batch.failure.kind}: {batch.failure.message[:200]}")
            images |= {image.key: image for image in batch.images}
        return [
            _Remade(
                drawn=each,
                png=images[each.row.image].png,
                is_same_kind=all(each.environment.get(name) == here[name] for name in here),
            )
            for each in group
        ]

    def findings(self) -> Iterator[Finding]:
        """Which interventions were made anew, and differences of interventions and trainings."""
        yield from each_differs(self._differences, "interventions and facts about trainings")
        if self._lost:
            yield unchecked(
                f"pictures of {', '.join(sorted(self._lost))}: interventions are not in the bundle"
            )
        if self._anew:
            yield holds(f"interventions of {', '.join(sorted(self._anew))} were made anew")
        if self._from_bundle:
            yield unchecked(
                f"interventions of {', '.join(sorted(self._from_bundle))} are those of the bundle"
                + ("" if self._options.refit else "; --refit fits them anew")
            )
        if self._trained_there:
            yield unchecked(
                f"trainings of {', '.join(sorted(self._trained_there))} are those of the bundle"
            )

    def _intervention(self, drawn: Drawn) -> "Intervention | None":
        row, part = drawn.row, drawn.part
        if row.concept not in self._concepts:
            raise NotHere(f"concept {row.concept[:80]!r} is not in the concept set")
        ways = phrasings(self._concepts[row.concept], part.wording)
        if not ways:
            raise NotHere(f"concept {row.concept[:80]!r} has no wording {part.wording}")
        said = choose(ways, drawn.number)
        key = part.title, row.method, said.digest
        if key not in self._interventions:
            with _threads(drawn.threads):
                self._interventions[key] = self._make(part, row.method, said)
        return self._interventions[key]

    def _make(self, part: Part, method: str, concept: Concept) -> "Intervention | None":
        """An intervention made anew, or that of the bundle; None where it has none to be read."""
        from htbench.steering import intervention

        if method not in part.facts.methods:
            self._lost.add(method)
            return None
        trained = self._trained_method(part, method)
        if trained is not None:
            self._anew.add(method)
            return trained.steering.towards(concept)
        digest, model = part.facts.methods[method].digest, part.facts.model.revision
        path = part.folder / "maps" / map_file(Digest(digest), Digest(model), concept)
        if not path.is_file():
            self._lost.add(method)
            return None
        try:
            loaded = intervention.load(path, model=self._model)
        except HtbenchError as error:
            problem = str(error).replace(str(path), path.name)
            self._differences.append(f"{part.title}intervention of {method}: {problem}")
            return None
        self._from_bundle.add(method)
        return loaded

    def _trained_method(self, part: Part, method: str) -> "TrainedMethod | None":
        """The method as it is trained; None where its interventions are taken from the bundle."""
        key = part.title, method
        if key not in self._trained:
            card = installed_card(method, part.facts) if method in part.facts.methods else None
            self._trained[key] = self._load(part, card) if card else None
        return self._trained[key]

    def _load(self, part: Part, card: Card) -> "TrainedMethod | None":
        """A method whose interventions are quick, or are to be fitted, and which is trained."""
        from htbench.steering import baseline
        from htbench.steering.method import FitsEachConcept, load_or_train
        from htbench.steering.training import steering_key

        is_quick = card.cost in ("nothing", "prediction")
        if not (is_quick or self._options.refit):
            return None
        seed = part.plan.seed
        file = f"steering-{steering_key(card, self._model.revision, self._train, seed=seed)}"
        is_shipped = bool(card.artifact(self._model.name))
        if not is_shipped and not isinstance(baseline.load_method(card), FitsEachConcept):
            if not (_is_own(card) and (part.folder / "maps" / file).is_file()):
                return None
            self._trained_there.add(card.name)
        trained = load_or_train(
            card, self._model, self._train, folder=part.folder / "maps", seed=seed
        )
        fact = part.facts.methods[card.name].training
        if is_shipped:
            for name, value in asdict(trained.training).items():
                stored = fact.stored.get(name)
                here = list(value) if isinstance(value, tuple) else value
                if stored != here:
                    self._differences.append(
                        f"{part.title}{name} of the training of {card.name} are "
                        f"{str(stored)[:60]!r} in the bundle, and {str(here)[:60]!r} in its file"
                    )
        return trained


def _is_own(card: Card) -> bool:
    """True for a method of htbench, whose trained files are safetensors and no code."""
    entry = registry.plugins("methods").get(card.method)
    return bool(entry and entry.dist and entry.dist.name == "htbench")


def _compare(remade: Sequence[_Remade]) -> Iterator[Finding]:
    """Compare pictures: bytes where the machine is of the same kind, else pixels."""
    differences, near, same = [], 0, 0
    largest = 0.0
    for each in remade:
        if _is_same(each):
            same += 1
            continue
        distance = _distance(each)
        if each.is_same_kind:
            differences.append(
                f"{each.drawn} has other bytes when it is made again on the same kind of machine; "
                f"mean difference {distance:.3g} of 255 levels"
            )
        elif distance > LEVELS:
            differences.append(
                f"{each.drawn} is another picture when it is made again: mean difference "
                f"{distance:.3g} of 255 levels, more than {LEVELS:g}"
            )
        else:
            near, largest = near + 1, max(largest, distance)
    yield from each_differs(differences, "pictures")
    if same:
        yield holds(f"{same} of {len(remade)} pictures made again have the same bytes")
    if near:
        yield holds(
            f"{near} of {len(remade)} pictures made again on another kind of machine have nearly "
            f"the same pixels: mean difference at most {largest:.2g} of 255 levels"
        )


def _compare_scores(
    remade: Sequence[_Remade], scorer: str, *, display: Display
) -> Iterator[Finding]:
    """Score pictures that are not the same to the bit in place of the bundle's.

    Small changes of pixels can change a score much, if they are made for it.
    """
    differences, count = [], 0
    for title, group in groupby(remade, key=lambda each: each.drawn.part.title):
        alike = list(group)
        part = alike[0].drawn.part
        before = read_scores(part)
        keys = {each.drawn.row.image for each in alike}
        _put_in_place(part, alike)
        drop_scores(part)
        add_scores(part.folder, [scorer], display=display, command="")
        with Store.read(part.folder) as store:
            cells = {row.id for row in store.rows() if row.image in keys}
        for key, value in read_scores(part).items():
            old = before.get(key)
            if key[1] not in cells or value is None or old is None:
                continue
            count += 1
            if abs(value - old) > SCORE_TOLERANCE:
                differences.append(
                    f"{title}{key[2]} by {key[3]} of cell {key[1]} is {old:.4g} in the bundle, and "
                    f"{value:.4g} when its picture is made again"
                )
    yield from each_differs(differences, "scores of pictures made again")
    if not differences:
        yield holds(f"{count:,} scores of these pictures are within {SCORE_TOLERANCE:g}")


def _put_in_place(part: Part, remade: Sequence[_Remade]) -> None:
    """Put pictures in place of those with the same key, and keep only cells that they concern."""
    keys = [each.drawn.row.image for each in remade]
    with Store.open(part.folder) as store:
        with store.writing() as (write, _):
            marks = ", ".join("?" * len(keys))
            write.execute("DELETE FROM scores")
            write.execute(f"DELETE FROM cells WHERE image NOT IN ({marks}) AND strength <> 0", keys)
        images = [
            GeneratedImage(key=key, png=each.png) for key, each in zip(keys, remade, strict=True)
        ]
        store.add_images(images, seconds=0.0, batch=1)


def _is_same(remade: _Remade) -> bool:
    return remade.png == _packed(remade)


def _packed(remade: _Remade) -> bytes:
    part, row = remade.drawn.part, remade.drawn.row
    return (part.folder / "images" / str(row.file)).read_bytes()


def _distance(remade: _Remade) -> float:
    """Mean absolute difference of two pictures in levels of 255; 255 for other sizes."""
    import numpy as np

    one, two = (
        np.asarray(pictures.open_picture(data).convert("RGB"), dtype=np.int16)
        for data in (remade.png, _packed(remade))
    )
    return float(np.abs(one - two).mean()) if one.shape == two.shape else 255.0


def _surroundings(device: str) -> dict[str, object]:
    """The kind of this machine, as sessions have it."""
    import torch

    here = {
        **sessions.machine(),
        "threads": torch.get_num_threads(),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
    }
    return {name: here[name] for name in _SURROUNDINGS}


def _max_threads() -> int:
    return 4 * (os.cpu_count() or 1)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """As many processor threads as made the pictures; 0 leaves their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
