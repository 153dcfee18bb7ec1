"""What is known of a public data set. Each YAML file beside this one is one; the file name is its name.

So is each YAML file in a folder that the environment variable ``MORPHOGEN_DATA_SETS`` names. A size or a checksum is
stated only where somebody who can know it stated it; ``checksum_from`` says who. Where nobody did, it is recorded at
the first download (``fetch``).
"""

import os
import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from morphogen.problems import Problem, as_problem

OWN_SETS = "MORPHOGEN_DATA_SETS"
"""Environment variable that names folders with descriptions of a person's own, several as in PATH."""

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,120}")


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedFile(_Said):
    """One file of a set.

    Attributes:
        name: what it is called where it is published, and here.
        url: where it is; empty where the record of the publisher is asked, or a person has to fetch it.
        size: in bytes.
        sha256: its checksum, in hex digits.
        checksum_from: who states that.
        unpack: whether it is an archive that is unpacked. A "7z" is left for the person: Python cannot read it.
        only: of the archive, only what is below this folder.
    """

    name: str
    url: str = ""
    size: int | None = Field(default=None, gt=0)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    checksum_from: str = ""
    unpack: Literal["", "zip", "tar", "7z"] = ""
    only: str = ""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not _FILE_NAME.fullmatch(self.name):
            raise ValueError("a plain file name without folders")
        if self.url and not is_safe(self.url) and self.sha256 is None:
            raise ValueError("an https address, or one of http with a sha256")
        return self


class PublisherRecord(_Said):
    """A record at a publisher that states sizes and checksums of its files to whoever asks: figshare or Zenodo."""

    at: Literal["figshare", "zenodo"]
    id: int = Field(gt=0)
    api: str = ""
    """Another address of the service than its own, for tests and mirrors."""


class DataSet(_Said):
    """A public set.

    Attributes:
        name: as on the command line.
        title: as it was published.
        about: what it shows, in a sentence or two.
        kind: of specimen; empty for another.
        doi: of the data; of the paper where the data have none, and then ``doi_is`` says so.
        doi_is: "data" or "paper".
        licence: its name, or in words what is known.
        licence_url: where it stands.
        cite: how to cite it.
        page: where a person finds it.
        size: about how much is downloaded, in words.
        files: its files.
        record: the publisher's record that is asked for addresses, sizes and checksums.
        by_hand: why a person has to download it; empty where the program can.
        masks_end: ending of the names of masks that lie among the images ("-mask"); they are moved to masks/.
        next: what to do then, a command; {folder} is where it went.
        notes: what else one should know.
    """

    name: str
    title: str
    about: str
    kind: str = ""
    doi: str
    doi_is: Literal["data", "paper"] = "data"
    licence: str
    licence_url: str = ""
    cite: str
    page: str
    size: str
    files: tuple[PublishedFile, ...] = Field(min_length=1)
    record: PublisherRecord | None = None
    by_hand: str = ""
    masks_end: str = ""
    next: str
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.by_hand and self.record is None and not all(f.url for f in self.files):
            raise ValueError("a set with a url for each file, a record, or the reason why a person has to download it")
        return self


def is_safe(url: str) -> bool:
    """Whether what comes from there cannot be changed on its way: https, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))


def data_set_names() -> list[str]:
    """The sets that are known: the YAML files of this folder and of a person's own folders."""
    return sorted(_descriptions())


def data_set(name: str) -> DataSet:
    """The set of that name.

    Raises:
        Problem: there is none of that name, or its description has a mistake.
    """
    known = _descriptions()
    if name not in known:
        raise Problem(f"there is no data set '{name}'", do=f"choose one of {', '.join(sorted(known))}")
    file = known[name]
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Problem(f"{file} is no YAML ({' '.join(str(error).split())[:120]})", do="mend it") from None
    if not isinstance(said, dict):
        raise Problem(f"{file} describes no data set", do="see docs/data_sets.md")
    try:
        return DataSet.model_validate({"name": name, **said})
    except ValidationError as error:
        raise as_problem(error, str(file), DataSet) from None


def _descriptions() -> dict[str, Path]:
    own = [Path(place).expanduser() for place in os.environ.get(OWN_SETS, "").split(os.pathsep) if place]
    found: dict[str, Path] = {}
    for folder in [Path(__file__).parent, *own]:
        if not folder.is_dir():
            raise Problem(f"{OWN_SETS} names {folder}, which is no folder", do="mend it")
        for file in sorted(folder.glob("*.yaml")):
            if file.stem in found:
                raise Problem(f"{file} has the name of {found[file.stem]}", do="call it otherwise")
            found[file.stem] = file
    return found
