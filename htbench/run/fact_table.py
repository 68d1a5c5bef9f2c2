"""The facts of a run, typed: the rows of its store's table `facts`, each a JSON value by name.

Reading never fails on what a run holds: a part that is missing, or damaged, or of an older version
reads as its empty default, so that a report of half a run can be made.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from htbench.run.store import Store
from htbench.steering import words


def _text(value: object) -> str:
    return str(value or "")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


Text = Annotated[str, BeforeValidator(_text)]
"""A stored value as text; empty for null."""
Number = Annotated[float, BeforeValidator(_number)]
"""NaN for what is no number."""


class FactGroup(BaseModel):
    """Facts that are stored as one JSON object, which may hold more than the fields."""

    model_config = ConfigDict(frozen=True)
    _stored: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def stored(self) -> Mapping[str, Any]:
        """The object as it is stored, in the order of its keys; empty where there is none."""
        return self._stored

    @model_validator(mode="wrap")
    @classmethod
    def _keep_stored(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, cls):
            return value
        group = handler(value if isinstance(value, dict) else {})
        group._stored = value if isinstance(value, dict) else {}
        return group

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_damaged(
        cls, value: object, handler: Callable[[object], object], info: ValidationInfo
    ) -> object:
        try:
            return handler(value)
        except ValidationError:
            field = cls.model_fields[str(info.field_name)]
            return field.get_default(call_default_factory=True)

    @model_serializer
    def _write_stored(self) -> dict[str, Any]:
        return self._stored


class PlanFacts(FactGroup):
    """The plan of the run."""

    methods: list[Text] = []
    strengths: list[Number] | None = None
    concept_set: Text = ""
    batch: int | None = None
    tune_floor: Number = math.nan
    wording: list[Text] = ["canonical"]
    """The wordings in which methods are given concepts."""
    per_concept_words: Text = "canonical"
    task: Text = "add"


class ModelFacts(FactGroup):
    """The model that was steered; models may store more, such as their licence."""

    name: Text = ""
    revision: Text = ""


class EncoderFacts(FactGroup):
    """An encoder that scores."""

    name: Text = ""
    revision: Text = ""
    scale: Number = math.nan
    id: Text = ""
    """`name@revision`."""


class ConceptSetFacts(FactGroup):
    """The concept set of the run."""

    name: Text = ""
    version: Text = ""
    licence: Text = ""
    about: Text = ""
    test: int = 0
    """Number of its test concepts."""


class ConceptFacts(FactGroup):
    """A concept of the run."""

    kind: Text = ""
    text: Text = ""
    split: Text = ""
    digest: Text = ""
    families: list[Text] | None = None
    """Labels of its families; null in runs of version 0.1.0."""


class TrainingFacts(FactGroup):
    """The training of a method before the first concept."""

    seconds: Number = math.nan
    device: Text = ""
    concepts: list[Text] = []
    encoders: list[Text] = []


class NearPairFacts(FactGroup):
    """An evaluated concept and a training concept that is nearly the same."""

    evaluated: Text = ""
    trained: Text = ""
    cosine: float = 0.0


class AuditFacts(FactGroup):
    """The leakage audit of a method, see `steering.leakage.LeakageAudit`."""

    trained_on: int = 0
    exact: list[Text] = []
    normalised: list[Text] = []
    near: list[NearPairFacts] = []
    nearest: float = 0.0
    encoder: Text = ""
    novel: list[Text] | None = None
    unverified: Text = ""


class MethodFacts(FactGroup):
    """A method: its card, its training and its leakage audit."""

    summary: Text = ""
    kind: Text = ""
    cost: Text = "prediction"
    reads: list[Text] = []
    settings: dict[str, Any] = {}
    paper: Text = ""
    bibtex: Text = ""
    published: list[FactGroup] = []
    digest: Text = ""
    """Digest of the trained method."""
    card: Text = ""
    """Digest of the card."""
    given: Text = ""
    """The name, or the path of the card file, that the plan has."""
    training: TrainingFacts = TrainingFacts()
    leaked: list[Text] = []
    audit: AuditFacts = AuditFacts()
    """Nothing is stored in it for a method that was not trained on concepts."""


class SessionFacts(FactGroup):
    """A process that made something of the run, see `run.sessions.Session`."""

    id: int = 0
    run: Text = ""
    command: Text = ""
    environment: FactGroup = FactGroup()
    started: Text = ""
    ended: Text = ""


class TunedFacts(FactGroup):
    """The strength chosen for a method on dev concepts, see `run.tune.TunedStrength`."""

    strength: Number = math.nan
    seconds: float = 0.0
    concepts: int | None = None
    curve: list[list[Number]] = []
    """Each strength tried, with its mean concept gain and image preservation; NaN for no score."""


class RangeEndFacts(FactGroup):
    """A strength at which a useful range begins or ends; infinite: above all that were run."""

    value: Number = math.nan
    low: Number = math.nan
    high: Number = math.nan


class RangeFacts(FactGroup):
    """A useful range of strengths, see `stats.useful_range.UsefulRange`."""

    onset: RangeEndFacts = RangeEndFacts()
    saturation: RangeEndFacts = RangeEndFacts()
    collapse: RangeEndFacts = RangeEndFacts()
    end: RangeEndFacts = RangeEndFacts()
    concepts: int = 0


class ScaleFacts(FactGroup):
    """A method's perceptual scale of strengths, see `run.strength_scale.MethodScale`."""

    encoder: Text = ""
    """Id of the encoder whose concept gain is the effect."""
    top: Number = math.nan
    requested: list[float] = []
    strengths: list[float] = []
    shares: list[float] = []
    points: list[float] = []
    curve: list[list[Number]] = []
    concepts: int = 0
    seconds: float = 0.0
    range: RangeFacts | None = None


class ScorerFacts(FactGroup):
    """A scorer that is no encoder: its card, what it declared, and its failures."""

    id: Text = ""
    """`name@version`."""
    name: Text = ""
    summary: Text = ""
    better: Text = ""
    """`higher` or `lower`."""
    against: Text = ""
    digest: Text = ""
    """Digest of the card and of the files that it names; empty in runs of version 0.1.0."""
    counterparts: list[Text] = []
    """The leaderboard's scores that it measures in another way."""
    range: list[Number] = [math.nan, math.nan]
    """The least and the largest score that there can be; NaN for no end."""
    version: Text = ""
    weights: Text = ""
    licence: Text = ""
    paper: Text = ""
    command: list[Text] = []
    reasons: dict[str, int] = {}
    """Numbers of pictures without a score, by reason."""


class SetScoreRowFacts(FactGroup):
    """The score of a set of pictures: those of a method at a strength."""

    method: Text = ""
    strength: Number = math.nan
    value: Number = math.nan
    """NaN for a set that has no score."""
    low: Number = math.nan
    high: Number = math.nan
    """Ends of the 95 % interval over concepts; NaN for none."""
    concepts: int = 0
    clusters: Number = math.nan
    """Effective number of independent clusters of concepts."""
    floor: Number = math.nan
    """The score of two random halves of the set; NaN for none."""
    pictures: int = 0
    planned: int = 0
    """Numbers of pictures in the set, and of its cells."""
    reason: Text = ""
    """The reason why there is no score."""
    digest: Text = ""
    """Digest of the pictures and of the families of their concepts."""


class SetScoreFacts(FactGroup):
    """A scorer of sets of pictures, and its scores."""

    id: Text = ""
    """`name@version`."""
    name: Text = ""
    title: Text = ""
    summary: Text = ""
    better: Text = ""
    """`higher` or `lower`."""
    encoder: Text = ""
    """Id of the encoder whose embeddings it reads."""
    paper: Text = ""
    rows: list[SetScoreRowFacts] = []
    """Methods in the order of the plan, each at its strengths, ascending."""

    def row(self, method: str, strength: float) -> SetScoreRowFacts | None:
        """The score of a method at a strength; None if there is no such row."""
        return next((r for r in self.rows if (r.method, r.strength) == (method, strength)), None)


class ActivationRowFacts(FactGroup):
    """The score of the activations that a method steers at full strength."""

    method: Text = ""
    strength: Number = math.nan
    value: Number = math.nan
    """Mean over sites and concepts; NaN where there is no score."""
    low: Number = math.nan
    high: Number = math.nan
    """Ends of the 95 % interval over concepts; NaN for none."""
    concepts: int = 0
    clusters: Number = math.nan
    """Effective number of independent clusters of concepts."""
    unsteered: Number = math.nan
    """The score of unsteered activations on the same images."""
    floor: Number = math.nan
    """The score of two halves of the target activations beside each other."""
    sites: dict[str, tuple[Number, Number, Number]] = {}
    """Value, unsteered value and floor of each site."""
    reason: Text = ""
    """The reason why there is no score."""
    digest: Text = ""
    """Digest of the interventions, the images and the families of the concepts."""


class ActivationScoreFacts(FactGroup):
    """A scorer of activations, and its scores."""

    id: Text = ""
    """`name@version`."""
    name: Text = ""
    title: Text = ""
    summary: Text = ""
    best: Number = math.nan
    """The value of activations that are those of the targets."""
    paper: Text = ""
    model: Text = ""
    """Name and revision of the model."""
    images: int = 0
    """Number of images that are steered for a concept, and of those in either half of its targets.
    """
    rows: list[ActivationRowFacts] = []
    """Methods in the order of the plan."""

    def row(self, method: str) -> ActivationRowFacts | None:
        """The score of a method; None if there is no such row."""
        return next((row for row in self.rows if row.method == method), None)


class ImportFacts(FactGroup):
    """The pictures of a run that other programs made, see `htbench.importing`."""

    source: Text = ""
    """The table or the folder that named them last."""
    left_out: int = 0
    """Number of pictures that could not be read."""
    problems: list[Text] = []
    """A line for each of the first of them."""
    unpaired: int = 0
    """Number of steered cells without an unsteered picture."""
    paired: bool = True
    """True if any cell has one."""
    notes: list[Text] = []
    """Sentences on how the pictures were made."""

    @property
    def lacks(self) -> list[str]:
        """Sentences on what cannot be told of these pictures."""
        sentences = []
        if not self.paired:
            sentences.append(
                "No picture has an unsteered counterpart: concept gain and image preservation are "
                "absent, and methods are ranked by presence."
            )
        elif self.unpaired:
            sentences.append(
                f"{self.unpaired:,} pictures have no unsteered counterpart, and so no concept gain "
                "and no image preservation."
            )
        return [*sentences, *self.notes, "No times of fitting are known for imported pictures."]


class AgainstFacts(FactGroup):
    """The bundle that a newcomer's run was made against, see `htbench.run.frozen`."""

    bundle: Text = ""
    """Name of its file."""
    sha256: Text = ""
    """Digest of its file."""
    methods: list[Text] = []
    """Its methods, whose cells are taken from it."""
    given: list[Text] = []
    """Its methods as its plan names them."""
    grid: Text = ""
    """Digest of its planned cells."""
    encoders: list[Text] = []
    """Ids of its encoders that score."""
    scorers: dict[str, Text] = {}
    """Digests of the cards of its other scorers by id; empty in bundles of version 0.1.0."""
    reasons: dict[str, dict[str, int]] = {}
    """Numbers of its pictures without a score by reason, by the id of a scorer."""


class TaskFacts(FactGroup):
    """The task of a run, see `htbench.run.tasks`."""

    name: Text = "add"
    parts: dict[str, dict[str, Text]] = {}
    """The part of each prompt in the task, by concept."""
    members: dict[str, list[Text]] = {}
    """The two concepts of each pair of concepts, by its id."""
    beside: dict[str, dict[str, Text]] = {}
    """The kind of the other concept that a prompt asks for, by concept and prompt."""


class Facts(FactGroup):
    """The facts of a run, or of all runs of a merged one."""

    plan: PlanFacts = PlanFacts()
    command: Text = ""
    """The command line of the first session, one for each run of a merged run."""
    environment: FactGroup = FactGroup()
    """Versions, processor and device of the first session, and its start; lists where the runs of a
    merged run differ."""
    sessions: list[SessionFacts] = []
    """The sessions that made the run's images and timings, in order."""
    model: ModelFacts = ModelFacts()
    scorer: EncoderFacts = EncoderFacts()
    """The encoder of the headline."""
    scorers: list[EncoderFacts] = []
    concept_set: ConceptSetFacts = ConceptSetFacts()
    concepts: dict[str, ConceptFacts] = {}
    """The concepts of the run, by id."""
    methods: dict[str, MethodFacts] = {}
    fit_seeds: dict[str, list[int]] = {}
    """The seeds of methods that were trained and fitted with several, by method."""
    grid: Text = ""
    """Digest of the planned cells."""
    repeats: Text = ""
    """Grid of the run that this one repeats, at a further fit seed or in another wording; empty:
    none."""
    wordings: dict[str, int] = {}
    """Numbers of cells in wordings other than the canonical one, by wording."""
    wording: Text = "canonical"
    """The wording in which methods were given the concepts."""
    phrasings: dict[str, list[Text]] = {}
    """By concept, its words at images 0, 1, … of a prompt, in turn; empty in canonical words."""
    tuned: dict[str, TunedFacts] = {}
    """The chosen strengths, by method."""
    strength_scales: dict[str, ScaleFacts] = {}
    """The perceptual scales of strengths, by method."""
    gauges: list[ScorerFacts] = []
    """Scorers that are no encoders."""
    set_scores: list[SetScoreFacts] = []
    """Scorers of sets of pictures, at the first fit seed and in canonical words."""
    activation_scores: list[ActivationScoreFacts] = []
    """Scorers of activations, at full strength, the first fit seed and in canonical words."""
    timing: dict[str, FactGroup] = {}
    """Sessions of `htbench time`, see `run.timing.figures.Session`."""
    sources: list[Text] = []
    """Folders of the runs of a merged run."""
    imported: ImportFacts = ImportFacts()
    """Nothing is stored in it for a run whose pictures htbench made."""
    against: AgainstFacts = AgainstFacts()
    """Nothing is stored in it for a run that makes all its cells."""

    task: TaskFacts = TaskFacts()
    """Nothing is stored in it for a run that adds concepts."""

    @property
    def is_imported(self) -> bool:
        """True if other programs made the pictures."""
        return bool(self.imported.stored)

    def bundle_of(self, method: str) -> str:
        """SHA-256 digest of the bundle that a method's cells are from; empty: the run made them."""
        return self.against.sha256 if method in self.against.methods else ""

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """Families of the run's concepts: concepts that share one are not independent.

        Runs of version 0.1.0 do not store them; there they are the concepts' words.
        """
        by_words = words.families(
            {name: (each.kind, each.text) for name, each in self.concepts.items()}
        )
        return {
            name: list(by_words[name]) if each.families is None else each.families
            for name, each in self.concepts.items()
        }

    @classmethod
    def read(cls, store: Store) -> Self:
        """The facts of the run in `store`.

        Raises:
            Refused: if the store is damaged.
        """
        facts, sessions = store.facts(), store.sessions()
        own = [session for session in sessions if not session.run]
        if own and "sources" not in facts:
            started = {"started": own[0].started}
            facts |= {"command": own[0].command, "environment": own[0].environment | started}
        if sessions:
            facts["sessions"] = [asdict(session) for session in sessions]
        return cls.model_validate(facts)
