"""The file name is the registry: a folder of modules, one entry a file.

No decorator, no list and no line in an ``__init__`` to forget: ``ls`` is the catalogue, and only what is asked
for is imported.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType

from morphogen.problems import Problem


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The entries of a package.

    Attributes:
        package: its full name, "morphogen.methods".
        entry: what one entry is called in messages, "method".
        parts: modules of the package that are no entries, such as the contract that all follow.
    """

    package: str
    entry: str
    parts: frozenset[str]

    def names(self) -> list[str]:
        """The entries in alphabetical order."""
        folder = importlib.import_module(self.package)
        return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if m.name not in self.parts)

    def module(self, name: str) -> ModuleType:
        """The module of one entry.

        Raises:
            Problem: there is none of that name; the message names those that there are.
        """
        if name not in self.names():
            raise Problem(f"there is no {self.entry} '{name}'", do=f"choose one of {', '.join(self.names())}")
        return importlib.import_module(f"{self.package}.{name}")
