"""Morphogen: synthetic images of rocks, composites and roots that a scientist can defend.

``__all__`` lists the calls of the command line as functions. Each is imported when it is first used, so that importing
the package is quick. None is called as a folder of the package is: importing ``morphogen.phantoms`` would put the
folder in the place of the function.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morphogen.audit.audit import audit as audit_metrics
    from morphogen.data_sets.fetch import fetch
    from morphogen.editing.edit import edit
    from morphogen.evaluation.asked import asked_and_given
    from morphogen.evaluation.captioning import caption
    from morphogen.evaluation.evaluate import evaluate
    from morphogen.evaluation.retrieval import retrieve
    from morphogen.evaluation.segment import segment
    from morphogen.evaluation.zero_shot import classify
    from morphogen.generation.attend import attend
    from morphogen.generation.decoder import interpolate_images
    from morphogen.generation.export import export
    from morphogen.generation.generate import generate
    from morphogen.generation.hosted import order
    from morphogen.generation.latent_space import interpolate, mix
    from morphogen.generation.likelihood import likelihood
    from morphogen.generation.projection import project
    from morphogen.generation.reconstruct import reconstruct
    from morphogen.generation.text_to_image import text_to_image
    from morphogen.generation.translate import translate
    from morphogen.images.folders import read_images, write_images
    from morphogen.images.sixteen_bit import tiff
    from morphogen.images.splitting import split
    from morphogen.instructions.triples import known_triples as make_triples
    from morphogen.instructions.triples import write_triples
    from morphogen.phantoms.phantom import image_set
    from morphogen.phantoms.phantom import phantoms as make_phantoms
    from morphogen.phantoms.volumes import volumes as make_volumes
    from morphogen.phantoms.volumes import write_volumes
    from morphogen.report.describe import describe
    from morphogen.review.making import new_review
    from morphogen.review.results import review_results
    from morphogen.review.server import serve as serve_review
    from morphogen.studies.study import study
    from morphogen.studio.server import serve as serve_studio
    from morphogen.training.control import control
    from morphogen.training.distil import distil
    from morphogen.training.image_text import open_image_text
    from morphogen.training.lora import lora
    from morphogen.training.train import train

__version__ = "0.1.0"

__all__ = [
    "asked_and_given",
    "attend",
    "audit_metrics",
    "caption",
    "classify",
    "control",
    "describe",
    "distil",
    "edit",
    "evaluate",
    "export",
    "fetch",
    "generate",
    "image_set",
    "interpolate",
    "interpolate_images",
    "likelihood",
    "lora",
    "make_phantoms",
    "make_triples",
    "make_volumes",
    "mix",
    "new_review",
    "open_image_text",
    "order",
    "project",
    "read_images",
    "reconstruct",
    "retrieve",
    "review_results",
    "segment",
    "serve_review",
    "serve_studio",
    "split",
    "study",
    "text_to_image",
    "tiff",
    "train",
    "translate",
    "write_images",
    "write_triples",
    "write_volumes",
]

_CALLS = {
    "asked_and_given": ("morphogen.evaluation.asked", "asked_and_given"),
    "attend": ("morphogen.generation.attend", "attend"),
    "audit_metrics": ("morphogen.audit.audit", "audit"),
    "caption": ("morphogen.evaluation.captioning", "caption"),
    "classify": ("morphogen.evaluation.zero_shot", "classify"),
    "control": ("morphogen.training.control", "control"),
    "describe": ("morphogen.report.describe", "describe"),
    "distil": ("morphogen.training.distil", "distil"),
    "edit": ("morphogen.editing.edit", "edit"),
    "evaluate": ("morphogen.evaluation.evaluate", "evaluate"),
    "export": ("morphogen.generation.export", "export"),
    "fetch": ("morphogen.data_sets.fetch", "fetch"),
    "generate": ("morphogen.generation.generate", "generate"),
    "image_set": ("morphogen.phantoms.phantom", "image_set"),
    "interpolate": ("morphogen.generation.latent_space", "interpolate"),
    "interpolate_images": ("morphogen.generation.decoder", "interpolate_images"),
    "likelihood": ("morphogen.generation.likelihood", "likelihood"),
    "lora": ("morphogen.training.lora", "lora"),
    "make_phantoms": ("morphogen.phantoms.phantom", "phantoms"),
    "make_triples": ("morphogen.instructions.triples", "known_triples"),
    "make_volumes": ("morphogen.phantoms.volumes", "volumes"),
    "mix": ("morphogen.generation.latent_space", "mix"),
    "new_review": ("morphogen.review.making", "new_review"),
    "open_image_text": ("morphogen.training.image_text", "open_image_text"),
    "order": ("morphogen.generation.hosted", "order"),
    "project": ("morphogen.generation.projection", "project"),
    "read_images": ("morphogen.images.folders", "read_images"),
    "reconstruct": ("morphogen.generation.reconstruct", "reconstruct"),
    "retrieve": ("morphogen.evaluation.retrieval", "retrieve"),
    "review_results": ("morphogen.review.results", "review_results"),
    "segment": ("morphogen.evaluation.segment", "segment"),
    "serve_review": ("morphogen.review.server", "serve"),
    "serve_studio": ("morphogen.studio.server", "serve"),
    "split": ("morphogen.images.splitting", "split"),
    "study": ("morphogen.studies.study", "study"),
    "text_to_image": ("morphogen.generation.text_to_image", "text_to_image"),
    "tiff": ("morphogen.images.sixteen_bit", "tiff"),
    "train": ("morphogen.training.train", "train"),
    "translate": ("morphogen.generation.translate", "translate"),
    "write_images": ("morphogen.images.folders", "write_images"),
    "write_triples": ("morphogen.instructions.triples", "write_triples"),
    "write_volumes": ("morphogen.phantoms.volumes", "write_volumes"),
}


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module 'morphogen' has no attribute '{name}'")
    module, attribute = _CALLS[name]
    return getattr(importlib.import_module(module), attribute)
