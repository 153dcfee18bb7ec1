"""Feature extractors by name. Each holds one ``Extractor``; the file name is the registry."""

import importlib
import pkgutil
from typing import Any

from morphogen.evaluation.feature_table import FeatureExtractor
from morphogen.problems import Problem

_PARTS = {"extractor", "convolution_stack", "lpips_weights"}  # what extractors are built from


def extractor_names() -> list[str]:
    """The extractors that are known: the files of this folder."""
    import morphogen.evaluation.features as package

    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in _PARTS)


def extractor(name: str, **options: Any) -> FeatureExtractor:
    """The extractor of that name, ready to use.

    Args:
        name: one of ``extractor_names()``.
        options: as its class takes them; the defaults are the recommended ones.

    Raises:
        Problem: there is none of that name, or its weights are missing.
    """
    if name not in extractor_names():
        raise Problem(f"there is no feature extractor '{name}'", do=f"choose one of {', '.join(extractor_names())}")
    built: FeatureExtractor = importlib.import_module(f"morphogen.evaluation.features.{name}").Extractor(**options)
    return built
