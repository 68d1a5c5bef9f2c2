"""Names for users of Python; nothing is imported before one of them is used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htbench.core.errors import HtbenchError, Incomplete, Missing, Refused, UsageError
    from htbench.core.registry import load_model
    from htbench.core.types import Site, SiteInfo
    from htbench.results.run_result import ReportPage, RunResult
    from htbench.results.run_result import open_run as open
    from htbench.results.running import run
    from htbench.results.steered import SteeredImages, steer
    from htbench.scorers.scorer import Scorer, ScorerInput, ScorerVersion
    from htbench.steering.algebra import average, compose, invert
    from htbench.steering.baseline import load_card, load_method
    from htbench.steering.concept import Concept, ConceptSet
    from htbench.steering.concept import load as load_concepts
    from htbench.steering.encoder import Encoder
    from htbench.steering.hooks import SteeredModules, activations, check_sites
    from htbench.steering.hooks import steer as steering_tap
    from htbench.steering.intervention import Affine, Interpolate, Intervention, LowRank, Rewrite
    from htbench.steering.intervention import load as load_intervention
    from htbench.steering.intervention import save as save_intervention
    from htbench.steering.method import (
        FitsEachConcept,
        FitsSideBySide,
        Method,
        Steering,
        fitting_images,
        load_or_train,
    )
    from htbench.steering.model import Model, Request, Tap, check_finite, select_sites
    from htbench.steering.steer import concept_from_images, concept_from_words
    from htbench.steering.training import Training

__all__ = [
    "Affine",
    "Concept",
    "ConceptSet",
    "Encoder",
    "FitsEachConcept",
    "FitsSideBySide",
    "HtbenchError",
    "Incomplete",
    "Interpolate",
    "Intervention",
    "LowRank",
    "Method",
    "Missing",
    "Model",
    "Refused",
    "ReportPage",
    "Request",
    "Rewrite",
    "RunResult",
    "Scorer",
    "ScorerInput",
    "ScorerVersion",
    "Site",
    "SiteInfo",
    "SteeredImages",
    "SteeredModules",
    "Steering",
    "Tap",
    "Training",
    "UsageError",
    "activations",
    "average",
    "check_finite",
    "check_sites",
    "compose",
    "concept_from_images",
    "concept_from_words",
    "fitting_images",
    "invert",
    "load_card",
    "load_concepts",
    "load_intervention",
    "load_method",
    "load_model",
    "load_or_train",
    "open",
    "run",
    "save_intervention",
    "select_sites",
    "steer",
    "steering_tap",
]
_ORIGINS = {
    "Affine": "steering.intervention:Affine",
    "Concept": "steering.concept:Concept",
    "ConceptSet": "steering.concept:ConceptSet",
    "Encoder": "steering.encoder:Encoder",
    "FitsEachConcept": "steering.method:FitsEachConcept",
    "FitsSideBySide": "steering.method:FitsSideBySide",
    "HtbenchError": "core.errors:HtbenchError",
    "Incomplete": "core.errors:Incomplete",
    "Interpolate": "steering.intervention:Interpolate",
    "Intervention": "steering.intervention:Intervention",
    "LowRank": "steering.intervention:LowRank",
    "Method": "steering.method:Method",
    "Missing": "core.errors:Missing",
    "Model": "steering.model:Model",
    "Refused": "core.errors:Refused",
    "ReportPage": "results.run_result:ReportPage",
    "Request": "steering.model:Request",
    "Rewrite": "steering.intervention:Rewrite",
    "RunResult": "results.run_result:RunResult",
    "Scorer": "scorers.scorer:Scorer",
    "ScorerInput": "scorers.scorer:ScorerInput",
    "ScorerVersion": "scorers.scorer:ScorerVersion",
    "Site": "core.types:Site",
    "SiteInfo": "core.types:SiteInfo",
    "SteeredImages": "results.steered:SteeredImages",
    "SteeredModules": "steering.hooks:SteeredModules",
    "Steering": "steering.method:Steering",
    "Tap": "steering.model:Tap",
    "Training": "steering.training:Training",
    "UsageError": "core.errors:UsageError",
    "activations": "steering.hooks:activations",
    "average": "steering.algebra:average",
    "check_finite": "steering.model:check_finite",
    "check_sites": "steering.hooks:check_sites",
    "compose": "steering.algebra:compose",
    "concept_from_images": "steering.steer:concept_from_images",
    "concept_from_words": "steering.steer:concept_from_words",
    "fitting_images": "steering.method:fitting_images",
    "invert": "steering.algebra:invert",
    "load_card": "steering.baseline:load_card",
    "load_concepts": "steering.concept:load",
    "load_intervention": "steering.intervention:load",
    "load_method": "steering.baseline:load_method",
    "load_model": "core.registry:load_model",
    "load_or_train": "steering.method:load_or_train",
    "open": "results.run_result:open_run",
    "run": "results.running:run",
    "save_intervention": "steering.intervention:save",
    "select_sites": "steering.model:select_sites",
    "steer": "results.steered:steer",
    "steering_tap": "steering.hooks:steer",
}
"""Module below `htbench` and name there, by public name."""

__all__ = list(_ORIGINS)


def __getattr__(name: str) -> object:
    if name not in _ORIGINS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _ORIGINS[name].partition(":")
    try:
        return getattr(import_module(f"{__name__}.{module}"), attribute)
    except ModuleNotFoundError as error:
        from htbench.core.errors import not_installed

        raise not_installed(error) or error from None


def __dir__() -> list[str]:
    return sorted([*globals(), *_ORIGINS])
