"""One file over HTTP: resumed where it was cut off, and checked while it comes.

What has come is in NAME.part, and NAME.part.json beside it says of which address and of which state of the file (its
ETag or date). A download that was cut off asks for the rest (``Range``) on condition that the file is still that one
(``If-Range``, RFC 9110, 13.1.5): a server that has another one by now, or cannot send parts, sends all of it, and it is
begun anew. The file gets its name when it is whole, has the length that was said and the checksum that is known.
"""

import email.utils
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from morphogen.data_sets.data_set import is_safe
from morphogen.problems import Problem
from morphogen.whole_files import FULL, require_space, write_text_whole

BLOCK = 1 << 20
TIMEOUT_S = 60
TRIES = 6
"""Without a byte of progress between them."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
AGENT = "morphogen-fetch"

_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)

Tell = Callable[[int, int | None], None]
"""Told how many bytes have come, and of how many, where that is known."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is whole."""

    path: Path
    size: int
    sha256: str


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to what anybody on the way can change."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if is_safe(req.full_url) and not is_safe(newurl):
            raise Problem(
                f"{req.full_url} leads on to {newurl}, which is not https",
                do="ask the publisher, or download it by hand",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_NoDowngrade)


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
    tell: Tell = lambda _have, _of: None,
    wait: Callable[[float], None] = time.sleep,
    page: str = "",
) -> Downloaded:
    """Download a file, or what is missing of it.

    Args:
        url: where it is.
        target: where it goes; its folder exists.
        size: its length in bytes, where that is known.
        sha256: its checksum, where that is known.
        md5: the same of another kind, which publishers state.
        tell: told of progress.
        wait: waits so many seconds between tries.
        page: where a person finds the file, for messages.

    Raises:
        Problem: it cannot be had (404, no right, a page instead of data), is not what was promised (length, checksum),
            or there is no room. What has come so far stays where more of it can come later.
    """
    part, state = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
    by_hand = f"download it by hand from {page}, then give it to the fetch" if page else "try again later"
    tries, pause = 0, FIRST_WAIT_S
    while True:  # each failure without progress is one try
        before = part.stat().st_size if part.exists() else 0
        try:
            whole = _attempt(url, part, state, size, tell, by_hand)
            break
        except urllib.error.HTTPError as error:
            asked = _said_to_wait(error)
            if error.code not in _TEMPORARY:
                raise Problem(f"{url} cannot be had: {_in_words(error)}", do=by_hand) from None
            if asked is not None and asked > LONGEST_WAIT_S:
                raise Problem(f"{url} asks to come back in {asked:.0f} s", do="start again then") from None
            reason = _in_words(error)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise Problem(f"the disk is full at {part.parent}", do="free some space and start again") from None
            asked, reason = None, str(getattr(error, "reason", error)) or type(error).__name__
        if part.exists() and part.stat().st_size > before:
            tries, pause = 0, FIRST_WAIT_S
        tries += 1
        if tries == TRIES:
            raise Problem(f"{url} failed {TRIES} times without a byte, last: {reason}", do="start again to go on")
        wait(asked if asked is not None else pause)
        pause = min(2 * pause, LONGEST_WAIT_S)
    return _checked(part, state, target, whole, sha256, md5, url)


def _attempt(url: str, part: Path, state: Path, size: int | None, tell: Tell, by_hand: str) -> int:
    """Get what is missing; its whole length when nothing is."""
    have, known = (part.stat().st_size if part.exists() else 0), _known(state)
    validator = known.get("validator", "")
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have and validator and known.get("url") == url:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    else:
        have = 0
    try:
        answer = _OPENER.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing, or it is another file by now
            if _total(error.headers.get("Content-Range", "")) == have:
                return have
            part.unlink()
            raise ConnectionError("the file is shorter than what has come of it") from None
        raise
    with answer:
        if "Range" in headers and not (answer.status == 206 and _start(answer.headers) == have):
            have = 0
        total = have + int(answer.headers["Content-Length"]) if answer.headers.get("Content-Length") else None
        if total is not None and size is not None and total != size:
            raise Problem(
                f"{url} has {total:,} bytes, and {size:,} were published", do="see whether there is a new version of it"
            )
        if answer.headers.get_content_type() == "text/html":
            raise Problem(f"{url} gave a web page and no data", do=by_hand)
        require_space(part.parent, (total or size or have) - have, "downloading it")
        validator = answer.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # a weak one does not promise the same bytes
            validator = answer.headers.get("Last-Modified", "")
        write_text_whole(state, json.dumps({"url": url, "validator": validator, "size": total}))
        with open(part, "ab" if have else "wb") as file:
            for block in iter(lambda: answer.read(BLOCK), b""):
                if not have and block[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
                    raise Problem(f"{url} gave a web page and no data", do=by_hand)
                file.write(block)
                have += len(block)
                tell(have, total or size)
    if total is not None and have != total:
        raise ConnectionError(f"cut off after {have:,} of {total:,} bytes")
    if size is not None and have != size:
        raise ConnectionError(f"cut off after {have:,} of {size:,} bytes")
    return have


def _checked(
    part: Path, state: Path, target: Path, size: int, sha256: str | None, md5: str | None, url: str
) -> Downloaded:
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with open(part, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            for digest in digests.values():
                digest.update(block)
        os.fsync(file.fileno())
    for name, expected in (("sha256", sha256), ("md5", md5)):
        found = digests[name].hexdigest()
        if expected is not None and found != expected.lower():
            part.unlink()
            state.unlink(missing_ok=True)
            raise Problem(
                f"what came from {url} is not what was published: its {name} is {found[:16]}..., and {expected[:16]}..."
                " was stated; it was removed",
                do="start again, and ask the publisher if it stays so",
            )
    os.replace(part, target)
    state.unlink(missing_ok=True)
    return Downloaded(target, size, digests["sha256"].hexdigest())


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(url: str, page: str = "") -> Any:
    """What a service says, as JSON; at most ``BLOCK`` bytes.

    Raises:
        Problem: it cannot be had.
    """
    do = f"look at {page}, and download it by hand" if page else "try again later"
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, "Accept": "application/json"})
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read(BLOCK))
    except urllib.error.HTTPError as error:
        raise Problem(f"{url} cannot be had: {_in_words(error)}", do=do) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Problem(f"{url} cannot be read ({getattr(error, 'reason', error)})", do=do) from None


def _known(state: Path) -> dict[str, str]:
    try:
        found = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _start(headers: Any) -> int:
    """First byte of an answer of a part: 'bytes 500-999/1000'."""
    first = str(headers.get("Content-Range", "")).removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


def _total(content_range: str) -> int | None:
    last = content_range.rpartition("/")[2]
    return int(last) if last.isdigit() else None


def _said_to_wait(error: urllib.error.HTTPError) -> float | None:
    """Seconds that a server asks to wait, as a number or a date."""
    said = str(error.headers.get("Retry-After", "")).strip()
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _in_words(error: urllib.error.HTTPError) -> str:
    said = {401: "it needs an account", 403: "it may not be had without more rights", 404: "it is not there",
            410: "it is there no longer", 429: "too many have asked"}.get(error.code, "")  # fmt: skip
    return f"{said} (HTTP {error.code})" if said else f"HTTP {error.code} {error.reason}"
