"""The file name is the registry: a folder of modules, one entry a file.

No decorator, no list and no line in an ``__init__`` to forget: ``ls`` is the catalogue, and only what is asked
for is imported. A catalogue may have folders of a person's own beside that of the package, which an environment
variable names: the installed package need not be touched to add an entry.
"""

import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from morphogen.problems import Problem


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The entries of a package.

    Attributes:
        package: its full name, "morphogen.methods".
        entry: what one entry is called in messages, "method".
        parts: modules of the package that are no entries, such as the contract that all follow.
        own: environment variable that names folders with entries of a person's own, several as in PATH; "" for none.
    """

    package: str
    entry: str
    parts: frozenset[str]
    own: str = ""

    def names(self) -> list[str]:
        """The entries in alphabetical order.

        Raises:
            Problem: a folder that the environment variable names is none, or two files have one name.
        """
        return sorted({*self._of_package(), *self._own_files()})

    def module(self, name: str) -> ModuleType:
        """The module of one entry.

        Raises:
            Problem: there is none of that name (the message names those that there are), or a person's own file
                cannot be run.
        """
        own = self._own_files()
        if name in own:
            return self._run(name, own[name])
        if name not in self._of_package():
            raise Problem(f"there is no {self.entry} '{name}'", do=f"choose one of {', '.join(self.names())}")
        return importlib.import_module(f"{self.package}.{name}")

    def _of_package(self) -> set[str]:
        folder = importlib.import_module(self.package)
        return {m.name for m in pkgutil.iter_modules(folder.__path__) if m.name not in self.parts}

    def _own_files(self) -> dict[str, Path]:
        """The files of a person's own, by name."""
        found: dict[str, Path] = {}
        places = os.environ.get(self.own, "") if self.own else ""
        for folder in (Path(place).expanduser() for place in places.split(os.pathsep) if place):
            if not folder.is_dir():
                raise Problem(f"{self.own} names {folder}, which is no folder", do="mend it")
            for file in sorted(folder.glob("[a-z]*.py")):
                name = file.stem
                other = found.get(name) or (f"{self.package}.{name}" if name in self._of_package() | self.parts else "")
                if other:
                    raise Problem(f"{file} has the name of {other}", do="call it otherwise")
                found[name] = file
        return found

    def _run(self, name: str, file: Path) -> ModuleType:
        """A person's own file as a module; as it is now, if it was changed since it was last asked for."""
        full = f"{self.package}._own.{name}"
        state = (str(file.absolute()), file.stat().st_mtime_ns)
        known = sys.modules.get(full)
        if known is not None and getattr(known, "__state__", None) == state:
            return known
        spec = importlib.util.spec_from_file_location(full, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        module.__dict__["__state__"] = state
        sys.modules[full] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[full]
            raise Problem(f"{file} cannot be read, {_where(error, file)}", do="mend it") from error
        return module


def _where(error: Exception, file: Path) -> str:
    """What went wrong and in which line of the file."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
    said = f"{type(error).__name__}: {error}"
    return f"line {lines[-1]}: {said}" if lines else said
