"""Morphogen: synthetic images of rocks, composites and roots that a scientist can defend.

The calls of the command line, as functions: ``phantoms``, ``describe``, ``segment``, ``train``, ``generate``,
``translate``, ``evaluate``, ``study``. Each is imported when it is first used, so that importing the package is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morphogen.evaluation.evaluate import evaluate
    from morphogen.evaluation.segment import segment
    from morphogen.generation.generate import generate
    from morphogen.generation.translate import translate
    from morphogen.images.folders import read_images, write_images
    from morphogen.images.splitting import split
    from morphogen.phantoms.phantom import image_set, phantoms
    from morphogen.report.describe import describe
    from morphogen.studies.study import study
    from morphogen.training.train import train

__version__ = "0.1.0"

__all__ = [
    "describe",
    "evaluate",
    "generate",
    "image_set",
    "phantoms",
    "read_images",
    "segment",
    "split",
    "study",
    "train",
    "translate",
    "write_images",
]

_CALLS = {
    "describe": ("morphogen.report.describe", "describe"),
    "evaluate": ("morphogen.evaluation.evaluate", "evaluate"),
    "generate": ("morphogen.generation.generate", "generate"),
    "image_set": ("morphogen.phantoms.phantom", "image_set"),
    "phantoms": ("morphogen.phantoms.phantom", "phantoms"),
    "read_images": ("morphogen.images.folders", "read_images"),
    "segment": ("morphogen.evaluation.segment", "segment"),
    "split": ("morphogen.images.splitting", "split"),
    "study": ("morphogen.studies.study", "study"),
    "train": ("morphogen.training.train", "train"),
    "translate": ("morphogen.generation.translate", "translate"),
    "write_images": ("morphogen.images.folders", "write_images"),
}


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module 'morphogen' has no attribute '{name}'")
    module, attribute = _CALLS[name]
    return getattr(importlib.import_module(module), attribute)
