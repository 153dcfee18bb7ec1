"""Which format a file is in, by the ending of its name. Each file of ``formats/`` says its own ``EXTENSIONS``.

A format is a module with ``EXTENSIONS`` and ``read(path, axis)``. It may have more:

- ``write(path, pixels, spacing_um)`` and ``write_volume(path, pixels, spacing_um)`` for ``PIXEL_TYPES``;
- ``SEVERAL_FILES``, endings under which it writes more than one file;
- ``ONE_UNIT``, if it cannot say that the size of a pixel is known along some axes only;
- ``open_volume(path, inside)``, which reads blocks without loading the whole;
- ``FOLDERS``, if its files are folders;
- ``parts(path)``, other files that belong to one;
- ``HEADERLESS``, if its files may belong to the header of another format, and are then no images of their own;
- ``stored_type(path)``, the type of number in a file, where ``open_volume`` gives nothing that has it as ``stored``.
"""

import importlib
import pkgutil
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from types import ModuleType

from morphogen.problems import Problem


@cache
def formats() -> tuple[ModuleType, ...]:
    """All formats."""
    import morphogen.images.formats as package

    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return tuple(module for module in modules if hasattr(module, "EXTENSIONS"))


@cache
def readable_extensions() -> frozenset[str]:
    """File endings, with the dot, of all formats."""
    return frozenset(extension for module in formats() for extension in module.EXTENSIONS)


def writable_extensions(pixel_type: str, *, as_stack: bool = False) -> list[str]:
    """Endings under which such pixels can be written, an image a file or a stack of them."""
    wanted = "write_volume" if as_stack else "write"
    return [
        extension
        for module in formats()
        if hasattr(module, wanted)
        and not (as_stack and getattr(module, "ONE_UNIT", False))
        and pixel_type in module.PIXEL_TYPES
        for extension in module.EXTENSIONS
    ]


def named_once(extensions: Collection[str]) -> str:
    """Endings as a person is told of them: the usual one of each format, TIFF's first."""
    usual = sorted(module.EXTENSIONS[0] for module in formats() if module.EXTENSIONS[0] in extensions)
    return ", ".join(sorted(usual, key=lambda extension: extension != ".tif"))


def ending_of(path: Path | str) -> str:
    """What the name ends in, in lower case: ".nii.gz" and not ".gz"; where no format has it, what the last dot begins.

    "scan" and ".tif" have none.
    """
    name = Path(path).name
    known = (e for e in readable_extensions() if name.lower().endswith(e) and len(name) > len(e))
    return max(known, key=len, default=Path(name).suffix.lower())


def stem_of(path: Path | str) -> str:
    """The name of a file without what ``ending_of`` finds."""
    name = Path(path).name
    ending = ending_of(name)
    return name[: len(name) - len(ending)] if ending else name


def is_image(path: Path) -> bool:
    """Whether something is there whose name ends as an image's does: a file, or a folder of a format of folders."""
    ending = ending_of(path)
    if ending not in readable_extensions():
        return False
    return path.is_dir() if is_folder_format(ending) else path.is_file()


def is_folder_format(extension: str) -> bool:
    """Whether what ends so is a folder."""
    return extension in readable_extensions() and getattr(format_of(extension), "FOLDERS", False)


def format_of(extension: str) -> ModuleType:
    """The format of an ending.

    Raises:
        Problem: there is none.
    """
    for module in formats():
        if extension.lower() in module.EXTENSIONS:
            return module
    raise Problem(
        f"'{extension}' is the ending of no image format that is understood",
        do=f"choose one of {named_once(readable_extensions())}",
    )


def place_of(path: Path) -> tuple[Path, str | None]:
    """A file or folder, and what is named inside of its files: of ``scan.h5:/exchange/data`` ``/exchange/data``.

    A path that exists as it is names nothing inside.
    """
    text = str(path)
    for found in re.finditer(":/", text):
        outside = Path(text[: found.start()])
        if not path.exists() and outside.exists():
            return outside, text[found.start() + 1 :]
    return path, None
