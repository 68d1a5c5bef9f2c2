"""Plans: the settings of a run, the things they name, and the grid of cells they make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from htbench.core import content, reading, registry
from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import UNSTEERED, Digest
from htbench.run import tasks
from htbench.run.settings import Settings, fill
from htbench.run.tasks.task import Task, TaskPrompt
from htbench.scorers import scorer as scorers
from htbench.steering import baseline
from htbench.steering import wording as wordings
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.concept import load as load_concept_set
from htbench.steering.pair import pairs_among
from htbench.steering.wording import CANONICAL, WORDINGS, Wording, Words

Strength = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=1000)]
MAX_CELLS = 10_000_000
"""Most cells of one run: more are a slip of the pen, and would be planned for hours."""


_LATER_SETTINGS = ("wording", "per_concept_words", "strength_scale", "task")
"""Settings that a plan is written without where they have their default."""
_IN_ITS_OWN_WORDS: Mapping[str, object] = {
    "wording": (CANONICAL,),
    "per_concept_words": "canonical",
}
"""Changes to a plan that leave the canonical wording alone."""
_WITHOUT_DEV_RUN: Mapping[str, object] = {"tune_strength": False, "strength_scale": "plain"}
"""Changes to a plan after which nothing is chosen on dev concepts."""


class Plan(Settings):
    """The settings that decide which cells a run has; equal plans give equal cells."""

    model: Name = "emoji"
    weights: Name = ""
    """Source of the model's weights: `hub`, `random` or a folder; empty: the model's default."""
    model_options: tuple[Annotated[str, Field(pattern=r"^[a-z]+=.+$", max_length=1000)], ...] = ()
    """Options for loading the model, each as name=value: size=512."""
    methods: Annotated[tuple[Name, ...], Field(min_length=1)] = (
        UNSTEERED,
        "prompt",
        "mean-shift",
        "linear-act",
        "lineas",
        "hypertransport",
    )
    """Names of baselines or paths of their cards.

    `none` is always among them, since every score is paired with it.
    """
    concepts: str = "test"
    """Splits or concept ids, separated by commas."""
    concept_set: Name = "emoji"
    limit: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of concepts: the first of the selection (a set's order mixes kinds)."""
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] = (0.0, 0.5, 1.0)
    prompts: Annotated[int, Field(ge=1)] = 4
    """Evaluation prompts per concept."""
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Images per prompt."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images generated at once.

    It is part of an image's identity, since on every device so far it changes last bits.
    """
    scorers: tuple[Name, ...] = ()
    """Encoders that score, the headline's first, and scorer plug-ins, or paths of their cards.

    Without an encoder the model's own scores, which no method reads concepts with.
    """
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Random seed for training, fitting and resampling; images have seeds of their own."""
    fit_seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of seeds that methods are trained and fitted with: `seed` and the numbers after it.

    Only the spread between them tells how far a score depends on a method's own randomness.
    """
    tune_strength: bool = False
    """Choose a strength per method on dev concepts and run the method at it too.

    The time that this takes is charged to the method.
    """
    tune_concepts: Annotated[int, Field(ge=1)] | None = None
    """Number of dev concepts that strengths are chosen on: the first; None: all."""
    tune_floor: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """Image preservation that a chosen strength must keep, on average."""
    strength_scale: Literal["plain", "perceptual"] = "plain"
    """`perceptual`: also run each method at strengths of its own whose effects on dev concepts are
    equal steps apart, one for each strength of the plan above 0, as a share of the largest.

    The time that learning this scale takes is charged to the method.
    """
    wording: Annotated[tuple[Wording, ...], Field(min_length=1)] = (CANONICAL,)
    """Ways in which each concept is said to methods: canonical, synonym, unknown, image.

    `canonical` is always among them, since the others are compared with it.
    """
    per_concept_words: Words = "canonical"
    """Words that per-concept methods are fitted on in other wordings: the canonical ones, since
    they are fitted once from examples, or the wording's own."""

    task: Name = "add"
    """The task of methods with a concept, see `htbench.run.tasks`: to add it, to remove it, to
    put another in its place, or compose it with another."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A plan that adds concepts in canonical words alone is written as before there was a
        choice, so that runs of earlier versions keep their names and digests."""
        values: dict[str, Any] = handler(self)
        for name in _LATER_SETTINGS:
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name, None)
        return values

    @property
    def is_perceptual(self) -> bool:
        """True if methods are also run on a perceptual scale of strengths."""
        return self.strength_scale == "perceptual"

    @property
    def needs_dev_run(self) -> bool:
        """True if something is chosen or learnt on dev concepts."""
        return self.tune_strength or self.is_perceptual

    @property
    def steering_strengths(self) -> tuple[float, ...]:
        """The strengths above 0, ascending."""
        return tuple(strength for strength in self.strengths if strength > 0)

    def load_options(self) -> dict[str, str]:
        """The options for loading the model, by name, its weights included."""
        options = dict(option.split("=", 1) for option in self.model_options)
        return {**options, "weights": self.weights} if self.weights else options


class RunOptions(Settings):
    """Settings for carrying out a run, none of which changes an image or a score."""

    device: str | None = None
    """cpu, cuda or cuda:1; None: the GPU if there is one."""
    workers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Processes that share the work.

    None: this one alone, or with `ray` one per GPU, or one per machine if there are no GPUs.
    """
    ray: Annotated[str, Field(max_length=1000)] | None = None
    """`auto` or the address of a Ray cluster; None: this machine alone."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processor threads per worker; None: an equal share of the cores.

    On a CPU they change last bits of images.
    """
    fit_together: Annotated[int, Field(ge=1, le=1024)] = 1
    """Concepts that a method fits side by side in one batch, if it can (LinEAS); 1: one by one.

    They change last bits of its maps. Their times are told as those of a batch divided by its
    concepts, and make no ratio together with times of concepts fitted one by one.
    """
    runs: str = "runs"
    """Folder where runs are."""
    name: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,59}$")] | None = None
    """Name of the run's folder in `runs`; None: made from the plan."""
    reuse: bool = True
    """Take over what other runs in `runs` have made already by the same model and method.

    Without it every image is made here, such as to see whether a machine gives the same ones.
    """
    allow_leak: bool = False
    """Run methods on concepts that they were trained on; the report says so."""
    allow_unknown: bool = False
    """Run concepts and prompts with words that the model does not know."""
    max_failures: (
        Annotated[int, Field(ge=0)]
        | Annotated[str, Field(pattern=r"^\d{1,9}$|^\d{1,3}(\.\d{1,9})?%$")]
    ) = "100%"
    """Largest number or share of cells that may fail before the run stops."""

    def failures_allowed(self, planned: int) -> int:
        """`max_failures` as a number of cells."""
        text = str(self.max_failures)
        return int(float(text[:-1]) / 100 * planned) if text.endswith("%") else int(text)


SETTING_EFFECTS = {
    "grid": frozenset(
        {
            "methods",
            "concepts",
            "concept_set",
            "limit",
            "strengths",
            "prompts",
            "seeds",
            "fit_seeds",
            "tune_strength",
            "tune_concepts",
            "tune_floor",
            "strength_scale",
            "wording",
            "per_concept_words",
            "task",
        }
    ),
    "image": frozenset({"model", "weights", "model_options", "batch", "seed"}),
    "score": frozenset({"scorers"}),
}
"""Settings of a plan by what they decide: the cells, every image, or the scores."""


def comparable(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings of a plan, as they name its folder and as plans are compared.

    Further fit seeds are runs of their own beside it. Where no strengths are chosen and no scale is
    learnt, `tune_concepts` has no effect and is that of version 0.1.0.
    """
    own = {name: value for name, value in settings.items() if name != "fit_seeds"}
    needs_dev = settings.get("tune_strength") or settings.get("strength_scale") == "perceptual"
    return own if needs_dev else {**own, "tune_concepts": 8}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image to generate and score."""

    method: str
    concept: Concept
    prompt: str
    seed: int
    strength: float
    said: Concept
    """The concept as the method is given it: itself, or in another wording."""
    direction: float = 1.0
    """Factor of the strength where the method is applied, that of the task."""

    @property
    def is_steered(self) -> bool:
        """True if the strength is other than 0; at 0 every method leaves the image as it is."""
        return self.strength != 0


@dataclass(frozen=True, kw_only=True)
class ResolvedPlan:
    """A checked plan, with its concept set and its cards read from disk."""

    settings: Plan
    concept_set: ConceptSet
    concepts: tuple[Concept, ...]
    """The concepts that the plan selects from the set, as its task uses them."""
    cards: Mapping[str, Card]
    """The cards of the methods, by the label of each: the name on its card."""
    wording: Wording = CANONICAL
    """The wording that concepts are given in; the plan of another is a part of the whole plan."""

    @property
    def given_names(self) -> dict[str, str]:
        """The plan's own name for each method, by label: that label, or the path of a card."""
        return dict(zip(self.cards, self.settings.methods, strict=True))

    @property
    def concepts_by_id(self) -> dict[str, Concept]:
        """The selected concepts by id."""
        return self._by_id

    @cached_property
    def _by_id(self) -> dict[str, Concept]:
        return {concept.id: concept for concept in self.concepts}

    @property
    def left_out(self) -> tuple[Concept, ...]:
        """The chosen concepts that the task has no use for, such as those without a partner."""
        chosen = self.concept_set.select(self.settings.concepts)[: self.settings.limit]
        members = (each for pair in pairs_among(self.concepts) for each in pair.members)
        used = {concept.id for concept in (*self.concepts, *members)}
        return tuple(concept for concept in chosen if concept.id not in used)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The evaluation prompts that the plan uses."""
        return self.concept_set.prompts[: self.settings.prompts]

    @property
    def task(self) -> Task:
        """The task of the methods."""
        return tasks.find(self.settings.task)

    @cached_property
    def task_prompts(self) -> dict[str, tuple[TaskPrompt, ...]]:
        """The prompts that images are generated from, by concept id."""
        return make_task_prompts(self.settings, self.concepts, self.concept_set)

    def question(self, concept: str, prompt: str) -> TaskPrompt:
        """The prompt of an image of a concept, with what scores are to look for in it."""
        known = self._questions.get((concept, prompt))
        asked = self.concepts_by_id[concept] if known is None else known.asked
        return known or TaskPrompt(text=prompt, neutral=prompt, part="", asked=asked)

    @cached_property
    def _questions(self) -> dict[tuple[str, str], TaskPrompt]:
        if not self.task.parts:
            return {}  # imported pictures have prompts that are not the set's
        return {
            (concept, each.text): each for concept, own in self.task_prompts.items() for each in own
        }

    @property
    def refitted(self) -> dict[str, Card]:
        """The cards of the methods that each fit seed trains or fits anew, by label.

        Not those of prompting, which has nothing to fit, nor those that only predict from a
        training whose file is beside the card.
        """
        return {
            label: card
            for label, card in self.cards.items()
            if card.kind not in ("none", "prompt")
            and not (label in self.trained_files and card.cost == "prediction")
        }

    @property
    def trained_files(self) -> list[str]:
        """Labels of the methods whose training for the model is a file beside the card."""
        model = registry.own_name("models", self.settings.model)
        return [label for label, card in self.cards.items() if model in card.artifacts]

    def fit_seed(self, number: int) -> int:
        """The seed of training and fitting at fit seed `number`, which counts from 0."""
        return (self.settings.seed + number) % 2**63

    def at_fit_seed(self, number: int) -> "ResolvedPlan":
        """The plan of the methods that are `refitted`, with fit seed `number` as its only one."""
        names = self.given_names
        cards = {UNSTEERED: self.cards[UNSTEERED], **self.refitted}
        changes = {
            "methods": tuple(names[label] for label in cards),
            "seed": self.fit_seed(number),
            "fit_seeds": 1,
            **_WITHOUT_DEV_RUN,
            **_IN_ITS_OWN_WORDS,
        }
        return replace(self, settings=self.settings.model_copy(update=changes), cards=cards)

    @cached_property
    def phrasings(self) -> dict[str, tuple[Concept, ...]]:
        """Each selected concept as methods are given it at the numbers of images, by id."""
        return {
            concept.id: wordings.phrasings(concept, self.wording)[: self.settings.seeds]
            for concept in self.concepts
        }

    @property
    def said(self) -> tuple[Concept, ...]:
        """All that methods are given, in the order of the concepts."""
        return tuple(concept for ways in self.phrasings.values() for concept in ways)

    @property
    def cell_count(self) -> int:
        """Number of cells, without those at strengths still to be tuned, and of other wordings."""
        return cell_count(self.settings, sum(map(len, self.task_prompts.values())))

    def number(self, prompt: str, seed: int) -> int:
        """The number of the image of a prompt that has this seed."""
        return self._numbers[prompt, seed]

    @cached_property
    def _numbers(self) -> dict[tuple[str, int], int]:
        pairs = {
            (each.text, each.neutral) for own in self.task_prompts.values() for each in own
        } or {(prompt, prompt) for prompt in self.prompts}
        return {
            (text, image_seed(neutral, number)): number
            for text, neutral in pairs
            for number in range(self.settings.seeds)
        }

    @cached_property
    def wordings(self) -> "tuple[ResolvedPlan, ...]":
        """The plans of the wordings other than the canonical one, of those that have any cell.

        Each has the methods that are given a wording, the concepts that have it, and no strength 0,
        where all wordings have the same images.
        """
        others = self.settings.wording[1:] if self.cards and self.wording == CANONICAL else ()
        parts = map(self._at_wording, others)
        return tuple(part for part in parts if len(part.cards) > 1 and part.settings.strengths)

    def _at_wording(self, wording: Wording) -> "ResolvedPlan":
        names, own = self.given_names, self.settings.per_concept_words
        cards = {
            label: card
            for label, card in self.cards.items()
            if label == UNSTEERED
            or wordings.treatment(wording, kind=card.kind, reads=card.reads, per_concept_words=own)
            == "given"
        }
        changes = {
            "methods": tuple(names[label] for label in cards),
            "strengths": tuple(strength for strength in self.settings.strengths if strength != 0),
            "fit_seeds": 1,
            **_WITHOUT_DEV_RUN,
            "wording": (CANONICAL, wording),
        }
        return replace(
            self,
            settings=self.settings.model_copy(update=changes),
            concepts=tuple(
                concept for concept in self.concepts if wordings.phrasings(concept, wording)
            ),
            cards=cards,
            wording=wording,
        )

    def with_settings(self, settings: Plan) -> "ResolvedPlan":
        """This plan with other `settings` that name the same methods and the same concept set."""
        return _select_concepts(settings, self.concept_set, self.cards)


def read(name: str) -> dict[str, object]:
    """The settings in the plan `name`: a shipped one, or the path of a TOML file.

    Raises:
        UnknownName: if there is no such plan, with the nearest names.
        UsageError: for a file that is not TOML.
    """
    return {key: value for key, value in _read(name).items() if key != "about"}


def about(name: str) -> str:
    """The sentence on a plan."""
    return str(_read(name).get("about", ""))


def _read(name: str) -> dict[str, object]:
    if name.endswith(".toml"):
        return reading.read_toml(Path(name), noun="plan file")
    if name in names():
        path = content.folder("reports") / "plans" / f"{name}.toml"
        return reading.read_toml(path, noun="plan file")
    if len(name) < 1000 and Path(f"{name}.toml").is_file():
        raise UsageError(f"no plan {name!r}", remedy=f"For the file, write: {name}.toml")
    if Path(name).suffix in (".yaml", ".yml", ".json"):
        raise UsageError(
            f"{name[:80]!r} is not a plan: plans are TOML files",
            remedy="Write its settings as name = value, and end the file's name in .toml.",
        )
    raise UnknownName("plan", name, names(), remedy="See: htbench list plans")


def build(*layers: Mapping[str, object]) -> Plan:
    """The plan of several `layers` of settings, later ones over earlier ones.

    None leaves a setting alone.
    """
    plan = fill(Plan, layers, other=RunOptions)
    return plan.model_copy(
        update={
            "methods": tuple(dict.fromkeys((UNSTEERED, *plan.methods))),
            "strengths": tuple(sorted({0.0 + s for s in plan.strengths})),
            "wording": in_order((CANONICAL, *plan.wording)),
        }
    )


def in_order(named: Iterable[Wording]) -> tuple[Wording, ...]:
    """Wordings in their fixed order, each once."""
    given = set(named)
    return tuple(wording for wording in WORDINGS if wording in given)


def run_options(*layers: Mapping[str, object]) -> RunOptions:
    """The run options in the same layers of settings."""
    return fill(RunOptions, layers, other=Plan)


def names() -> list[str]:
    """Names of the shipped plans."""
    return sorted(path.stem for path in (content.folder("reports") / "plans").glob("*.toml"))


def resolve(plan: Plan) -> ResolvedPlan:
    """The plan with everything it names; needs no torch, so that a typing error is met at once.

    Raises:
        UnknownName: for the name of something that does not exist.
        UsageError: if two cards have one name, or the grid is larger than the set or the limit.
    """
    registry.check("models", plan.model)
    for scorer in plan.scorers:
        scorers.check(scorer)
    cards = _load_cards(plan.methods)
    return _select_concepts(plan, load_concept_set(plan.concept_set, model=plan.model), cards)


def choose_concepts(plan: Plan, concept_set: ConceptSet) -> tuple[Concept, ...]:
    """The concepts of a plan: those that it selects, as its task uses them.

    Raises:
        UnknownName: if there is no such concept, split or task.
        UsageError: if nothing is selected, or the task can use none of it.
    """
    chosen = concept_set.select(plan.concepts)[: plan.limit]
    return tasks.find(plan.task).make_concepts(chosen, concept_set)


def make_task_prompts(
    plan: Plan, concepts: Iterable[Concept], concept_set: ConceptSet
) -> dict[str, tuple[TaskPrompt, ...]]:
    """The prompts that a plan generates images from, by concept id.

    Raises:
        UnknownName: if there is no such task.
        UsageError: if a concept cannot be used in it.
    """
    neutral, make = concept_set.prompts[: plan.prompts], tasks.find(plan.task).make_prompts
    return {concept.id: make(concept, neutral, concept_set) for concept in concepts}


def cell_count(plan: Plan, prompts: int) -> int:
    """Number of cells of a plan, without those at strengths still to be tuned.

    Strengths of a perceptual scale are taken to be none of the plan's. `prompts` is the number of
    prompts of all concepts together.
    """
    scaled = len(plan.steering_strengths) if plan.is_perceptual else 0
    steered = (len(plan.methods) - 1) * (len(plan.strengths) + scaled)
    return prompts * plan.seeds * (1 + steered)


def cells(
    plan: Plan,
    concepts: Sequence[Concept],
    prompts: Sequence[str],
    *,
    tuned: Mapping[str, float] | None = None,
    scaled: Mapping[str, Sequence[float]] | None = None,
    wording: Wording = CANONICAL,
    task_prompts: Mapping[str, Sequence[TaskPrompt]] | None = None,
) -> Iterator[Cell]:
    """All cells in their fixed order, the unsteered ones first.

    Method `none` has strength 0 alone; the others also have their `tuned` one, and those that are
    `scaled` by a perceptual scale. Concepts are given in the `wording`; those that do not have it
    are left out. Images are generated from `task_prompts`, by concept, or else from the neutral
    `prompts`.
    """
    direction = tasks.find(plan.task).direction
    tuned, scaled = tuned or {}, scaled or {}
    phrasings = {concept.id: wordings.phrasings(concept, wording) for concept in concepts}
    concepts = [concept for concept in concepts if phrasings[concept.id]]
    neutral = [(prompt, prompt) for prompt in prompts[: plan.prompts]]
    texts = {
        id_: [(prompt.text, prompt.neutral) for prompt in own]
        for id_, own in (task_prompts or {}).items()
    }
    asked = [(concept, *pair) for concept in concepts for pair in texts.get(concept.id, neutral)]
    for method in plan.methods:
        own = [*([tuned[method]] if method in tuned else []), *scaled.get(method, ())]
        strengths = (0.0,) if method == UNSTEERED else sorted({*plan.strengths, *own})
        combinations = product(asked, range(plan.seeds), strengths)
        for (concept, prompt, neutral_prompt), number, strength in combinations:
            yield Cell(
                method=method,
                concept=concept,
                prompt=prompt,
                seed=image_seed(neutral_prompt, number),
                strength=strength,
                said=wordings.choose(phrasings[concept.id], number),
                direction=direction,
            )


@cache
def image_seed(prompt: str, number: int) -> int:
    """Seed of image `number` of a prompt.

    It is the same for all methods, concepts and strengths, so that their images are paired.
    """
    return int(content.digest([prompt, number]), 16) % 2**63


def image_key(cell: Cell, *, model: Digest, method_digest: Digest, batch: int) -> Digest:
    """Digest of all that can change a cell's image; unsteered cells share one image."""
    steering: Sequence[object] = (
        [method_digest, cell.said.digest, cell.direction * cell.strength] if cell.is_steered else []
    )
    return content.digest([model, cell.prompt, cell.seed, batch, *steering])


def grid_digest(
    plan: ResolvedPlan,
    *,
    model: Digest,
    methods: Mapping[str, Digest],
    tuned: Mapping[str, float] | None = None,
    scaled: Mapping[str, Sequence[float]] | None = None,
) -> Digest:
    """Digest of all cells of a plan, from the digests of its trained `methods`.

    To plan a million cells takes a minute, and to compare their digests no time.
    """
    settings = plan.settings.model_copy(update={"methods": tuple(plan.cards)})
    shape = settings.model_dump(mode="json", include={"methods", "strengths", "seeds", "batch"})
    concepts = [[concept.id, concept.digest] for concept in plan.concepts]
    words = [[concept.id, concept.digest] for concept in plan.said]
    wording = [] if plan.wording == CANONICAL else [[plan.wording, words]]
    task = [plan.settings.task, _texts(plan)] if plan.task.parts else []
    more = [*wording, *([{"scaled": scaled}] if scaled else []), *task]
    return content.digest([shape, model, methods, tuned or {}, plan.prompts, concepts, *more])


def _texts(plan: ResolvedPlan) -> dict[str, list[str]]:
    return {id_: [each.text for each in own] for id_, own in plan.task_prompts.items()}


def map_file(method_digest: Digest, model: Digest, concept: Concept) -> str:
    """Name of the file of a method's intervention for a concept."""
    return map_file_of(method_digest, model, concept.digest)


def map_file_of(method: Digest, model: Digest, concept: Digest) -> str:
    """The same from the digest of the concept."""
    return f"{content.digest([method, model, concept])}.safetensors"


def _load_cards(methods: Sequence[str]) -> dict[str, Card]:
    """The cards of methods by label.

    Raises:
        UsageError: if two cards have one name.
    """
    cards: dict[str, Card] = {}
    names: dict[str, str] = {}
    for method in methods:
        card = baseline.load_card(method)
        label = card.name if ".toml" in method else method
        if label in cards:
            raise UsageError(
                f"two methods are called {label!r}: {names[label][:200]!r} and {method[:200]!r}",
                remedy="Give one of the cards another name.",
            )
        cards[label], names[label] = card, method
    return cards


def _select_concepts(
    plan: Plan, concept_set: ConceptSet, cards: Mapping[str, Card]
) -> ResolvedPlan:
    available = len(concept_set.prompts)
    if plan.prompts > available:
        raise UsageError(
            f"{plan.prompts} prompts wanted, the concept set has {available}",
            remedy=f"Use --prompts {available} or fewer.",
        )
    if plan.is_perceptual and len(plan.steering_strengths) < 2:
        given = ", ".join(f"{strength:g}" for strength in plan.strengths)
        raise UsageError(
            f"a perceptual scale needs two strengths above 0, not {given}",
            remedy="Give more: --strength 0,0.25,0.5,0.75,1",
        )
    tasks.find(plan.task).check_settings(
        strengths=plan.strengths, wordings=len(plan.wording), tunes=plan.tune_strength
    )
    concepts = choose_concepts(plan, concept_set)
    for wording in plan.wording[1:]:
        _check_wording(wording, concept_set, concepts)
    resolved = ResolvedPlan(settings=plan, concept_set=concept_set, concepts=concepts, cards=cards)
    count = sum(part.cell_count for part in (resolved, *resolved.wordings))
    if count > MAX_CELLS:
        raise UsageError(
            f"the plan has {count:,} cells, one run holds at most {MAX_CELLS:,}",
            remedy="Use fewer seeds or strengths.",
        )
    return resolved


def _check_wording(wording: Wording, concept_set: ConceptSet, concepts: Sequence[Concept]) -> None:
    """Refuse a wording that none of the concepts has."""
    if not any(wordings.phrasings(concept, wording) for concept in concepts):
        source = wordings.SOURCE[wording]
        others = ", ".join(
            other for other in WORDINGS if any(wordings.phrasings(each, other) for each in concepts)
        )
        raise UsageError(
            f"wording {wording!r} wanted, and none of the {len(concepts):,} concepts of "
            f"{concept_set.name[:80]!r} has {source}",
            remedy=f"These have: {others}. A set's own {source}: docs/concepts.md.",
        )
