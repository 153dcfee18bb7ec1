"""What publishers state of the files of a record to whoever asks: address, length, checksum, and the licence.

figshare: GET /v2/articles/ID gives ``files`` with ``name``, ``size``, ``download_url`` and ``computed_md5``, and
    ``license``.
Zenodo: GET /api/records/ID gives ``files`` with ``key``, ``size``, ``checksum`` ("md5:...") and ``links.self``, and
``metadata.license``.
"""

from dataclasses import dataclass
from typing import Any

from morphogen.data_sets.data_set import PublisherRecord, is_safe
from morphogen.data_sets.download import read_json
from morphogen.problems import Problem

APIS = {"figshare": "https://api.figshare.com/v2/articles", "zenodo": "https://zenodo.org/api/records"}


@dataclass(frozen=True, slots=True)
class Stated:
    """What a publisher states of a file."""

    url: str
    size: int
    md5: str | None


def stated_by(record: PublisherRecord, page: str) -> tuple[dict[str, Stated], str]:
    """The files of a record by name, and the licence that it has there.

    Raises:
        Problem: the publisher cannot be asked, or does not answer as it does now.
    """
    where = f"{record.api or APIS[record.at]}/{record.id}"
    said = read_json(where, page)
    try:
        read = _figshare if record.at == "figshare" else _zenodo
        files, licence = read(said)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Problem(f"{where} does not answer as it used to", do=f"look at {page}, and download it by hand") from None
    for name, file in files.items():
        if not is_safe(file.url):
            raise Problem(f"{where} gives an address for {name} that is not https", do="download it by hand")
    return files, licence


def _figshare(said: Any) -> tuple[dict[str, Stated], str]:
    files = {
        str(f["name"]): Stated(str(f["download_url"]), int(f["size"]), f.get("computed_md5") or f.get("supplied_md5"))
        for f in said["files"]
    }
    return files, str((said.get("license") or {}).get("name", ""))


def _zenodo(said: Any) -> tuple[dict[str, Stated], str]:
    files = {}
    for f in said["files"]:
        kind, _, digest = str(f.get("checksum", "")).partition(":")
        files[str(f["key"])] = Stated(str(f["links"]["self"]), int(f["size"]), digest if kind == "md5" else None)
    licence = said.get("metadata", {}).get("license") or {}
    return files, str(licence.get("id", "") if isinstance(licence, dict) else licence)
