"""Feature extractors by name. Each holds one ``Extractor``; the file name is the registry."""

from typing import Any

from morphogen.catalogue import Catalogue
from morphogen.evaluation.feature_table import FeatureExtractor

EXTRACTORS = Catalogue(
    "morphogen.evaluation.features",
    "feature extractor",
    frozenset({"extractor", "mean_features"}),  # what extractors are built from
)


def extractor_names() -> list[str]:
    """The extractors that are known: the files of this folder."""
    return EXTRACTORS.names()


def extractor(name: str, **options: Any) -> FeatureExtractor:
    """The extractor of that name, ready to use.

    Args:
        name: one of ``extractor_names()``.
        options: as its class takes them; the defaults are the recommended ones.

    Raises:
        Problem: there is none of that name, or its weights are missing.
    """
    built: FeatureExtractor = EXTRACTORS.module(name).Extractor(**options)
    return built
