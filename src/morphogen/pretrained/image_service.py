"""A network that others trained and keep to themselves: a hosted image service, asked through the package openai.

Many services speak this protocol; which one is a matter of the address. What is asked costs money, so

- it is told what would be sent and what that costs, and somebody has to agree, before anything is sent;
- every answer is written to a folder as it arrives, under a hash of what was asked. What was asked before is taken from
  there: a run that was cut off goes on with what is missing, and nothing is paid for twice;
- that folder is a journal: before a request is sent, that it is sent is written there, which also shows that an answer
  can be. What was sent and never answered, since the connection or the program was cut off, may have been charged, and
  this is told before it is asked for again. An answer that the folder does not take in the end is put elsewhere;
- nothing is tried again by itself but what the service has refused to begin with, for lack of capacity (429, 503). A
  request that was cut off may have been carried out and charged.

The key comes from an environment variable or a file. It is part of no record and no message, not even of one that the
service sends back.
"""

import base64
import binascii
import hashlib
import importlib.util
import io
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from morphogen.problems import Problem
from morphogen.progress import console
from morphogen.whole_files import require_space, write_text_whole, write_whole

SERVICE = "from a service"
"""Label of a picture that a hosted service made: its model and its host."""

RESIZED = "resized"
"""Label of a picture that was brought to another size: from what, to what, and how."""

_MOST_BYTES = 200_000_000  # of an image that an answer gives the address of
_ROOM = 50_000_000  # bytes that have to be free before an answer is paid for; one of 1024 x 1024 has 2 to 4 million
_BUSY = (429, 503)
_FIRST_WAIT = 2.0  # seconds, doubled each time, where a busy service does not say how long


class ServiceSettings(BaseModel):
    """How a service is reached, and what may be spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="", description="name of the service's model, as gpt-image-1")
    address: str = Field(default="https://api.openai.com/v1", description="base address of the service")
    key_variable: str = Field(default="OPENAI_API_KEY", description="environment variable that holds the key")
    key_file: Path | None = Field(default=None, description="file that holds the key, in place of the variable")
    size: str = Field(
        default="1024x1024", pattern=r"^[1-9]\d*x[1-9]\d*$", description="width x height that is asked for, as 512x512"
    )
    price: float | None = Field(default=None, ge=0, description="of an image, in the currency of the service")
    yes: bool = Field(default=False, description="agree to the cost without being asked")
    answers: Path = Field(default=Path("answers"), description="folder where answers are kept as they arrive")
    timeout: float = Field(default=180.0, gt=0, description="seconds to wait for an answer")
    patience: float = Field(default=300.0, ge=0, description="seconds to wait, all together, while it has no capacity")

    @property
    def wanted_size(self) -> tuple[int, int]:
        """Height and width that are asked for."""
        width, height = self.size.split("x")
        return int(height), int(width)


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One image that is asked of a service.

    Attributes:
        kind: draw from a text, change an image, or make one like it.
        prompt: the text; empty for a variation.
        image: a PNG file, for what starts from one.
        mask: a PNG file, transparent where the image may change.
        number: tells images apart that are asked for in the same words.
    """

    kind: Literal["generate", "edit", "variation"]
    prompt: str = ""
    image: bytes = b""
    mask: bytes = b""
    number: str = ""


class ImageService:
    """A hosted service.

    Args:
        settings: how it is reached.
        wait: called with seconds where it is to be waited.

    Raises:
        Problem: the package openai, the key or the name of the model is missing, or the address is none.
    """

    def __init__(self, settings: ServiceSettings, wait: Callable[[float], None] = time.sleep) -> None:
        if importlib.util.find_spec("openai") is None:
            raise Problem("hosted services need the package openai", do="pip install 'morphogen[hosted]'")
        if not settings.model:
            raise Problem("it is not said which model of the service is asked", do="name it, as model=gpt-image-1")
        parts = urlsplit(settings.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Problem(f"'{settings.address}' is no address of a service", do="give one as https://host/v1")
        if parts.username or parts.password:
            raise Problem("the address of the service holds a password", do="give the key by a variable or a file")
        self.settings, self._wait = settings, wait
        self.host = parts.netloc
        self._key = _key_of(settings)
        self._agreed: set[str] = set()

    @property
    def name(self) -> str:
        """What made an image, for its labels."""
        return f"{self.settings.model} at {self.host}"

    def missing(self, requests: Sequence[ServiceRequest]) -> list[ServiceRequest]:
        """Those whose answer is not kept yet, each once."""
        found = {self._place(request): request for request in requests}
        return [request for place, request in found.items() if not place.exists()]

    def agree(self, requests: Sequence[ServiceRequest]) -> None:
        """Tell what would be sent and what it costs, and have somebody agree; nothing for what is kept already.

        Raises:
            Problem: nobody agrees.
        """
        missing = self.missing(requests)
        new = [request for request in missing if self._place(request).stem not in self._agreed]
        if not new:
            return
        settings = self.settings
        megabytes = sum(len(r.image) + len(r.mask) + len(r.prompt) for r in new) / 1e6
        cost = (
            "at an unknown cost (no price is given)"
            if settings.price is None
            else f"for {len(new) * settings.price:g} at {settings.price:g} each"
        )
        kept = len({self._place(request) for request in requests}) - len(missing)
        told = (
            f"{len(new)} image{'s' * (len(new) > 1)} of {settings.size} by {self.name}, {megabytes:.2f} MB to send,"
            f" {cost}" + (f"; {kept} more are kept in {settings.answers}" if kept else "")
        )
        if sent := sum(self._sent_mark(request).exists() for request in new):
            told += f"; {sent} of them may have been charged before, when no answer came"
        if not settings.yes:
            if not sys.stdin.isatty():
                raise Problem(f"{told}: nobody is there to agree", do="agree beforehand, by the setting yes")
            console().print(told, highlight=False)
            if console().input("Send? [y/N] ").strip().lower() not in ("y", "yes"):
                raise Problem("nobody agreed, and nothing was sent", do="agree when asked")
        else:
            console().print(told, highlight=False)
        self._agreed |= {self._place(request).stem for request in new}

    def image(self, request: ServiceRequest) -> NDArray[np.uint8]:
        """An image ``(3, height, width)``: the kept answer, or a new one, which is kept before it is looked at.

        Raises:
            Problem: the service cannot be reached, refuses, or answers with something else.
        """
        place = self._place(request)
        if not place.exists():
            if place.stem not in self._agreed:
                raise ValueError("asked before somebody agreed to the cost")
            self._require_a_place()
            write_text_whole(self._sent_mark(request), time.strftime("%Y-%m-%dT%H:%M:%S%z\n"))
            answer = self._answer(request)
            kept = {"model": self.settings.model, "address": self.settings.address, "kind": request.kind,
                    "prompt": request.prompt, "size": self.settings.size, "number": request.number,
                    "answer": answer}  # fmt: skip
            self._keep(place, json.dumps(kept, indent=1))
            self._sent_mark(request).unlink(missing_ok=True)
        try:
            item = json.loads(place.read_text(encoding="utf-8"))["answer"]["data"][0]
        except (ValueError, KeyError, IndexError, TypeError):
            raise Problem(f"{place} is damaged", do="delete it to ask, and pay, again") from None
        data = base64.b64decode(item["b64_json"]) if item.get("b64_json") else self._fetched(item["url"], place)
        try:
            with Image.open(io.BytesIO(data)) as opened:
                rgb = np.asarray(opened.convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
            raise Problem(f"{place} holds no image", do="look at it, and delete it to ask again") from None
        return np.ascontiguousarray(rgb.transpose(2, 0, 1))

    def _place(self, request: ServiceRequest) -> Path:
        """Where the answer is kept: under a hash of all that was asked."""
        settings, digest = self.settings, hashlib.sha256()
        for part in (settings.address, settings.model, settings.size, request.kind, request.prompt, request.number):
            digest.update(f"{len(part)} {part}".encode())
        for data in (request.image, request.mask):
            digest.update(hashlib.sha256(data).digest())
        return settings.answers / f"{digest.hexdigest()[:32]}.json"

    def _sent_mark(self, request: ServiceRequest) -> Path:
        """The file that says that a request was sent, for as long as no answer has come."""
        return self._place(request).with_suffix(".sent")

    def _require_a_place(self) -> None:
        """Refuse to ask, and pay, for what could not be kept.

        Raises:
            Problem: the folder cannot be made, or there is hardly any room in it.
        """
        answers = self.settings.answers
        try:
            answers.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(f"answers cannot be kept in {answers} ({error.strerror})", do="name another folder") from None
        require_space(answers, _ROOM, "keeping an answer")

    def _keep(self, place: Path, text: str) -> None:
        """Write an answer that was paid for; where it goes nowhere else, to the folder for temporary files.

        Raises:
            Problem: it is there now.
        """
        try:
            write_text_whole(place, text)
        except (Problem, OSError):
            spare = Path(tempfile.gettempdir()) / place.name
            write_text_whole(spare, text)
            raise Problem(
                f"{place} cannot be written any more, and an answer that was paid for is in {spare}",
                do="make room, and move it there",
            ) from None

    def _answer(self, request: ServiceRequest) -> dict[str, Any]:
        """What the service says; waits while it is busy. What it refuses was not carried out, and loses its mark."""
        import openai

        waited, wait = 0.0, _FIRST_WAIT
        while True:
            try:
                return self._sound(self._sent(request))
            except openai.APIStatusError as error:
                busy = error.status_code in _BUSY and _code(error) != "insufficient_quota"
                if not busy:
                    if error.status_code < 500:
                        self._sent_mark(request).unlink(missing_ok=True)
                    raise self._refusal(error) from None
                asked = _retry_after(error)
                wait = wait if asked is None else asked
                if waited + wait > self.settings.patience:
                    self._sent_mark(request).unlink(missing_ok=True)
                    raise Problem(
                        f"{self.host} has no capacity and asks to wait {wait:g} s more",
                        do="run it again later: what has arrived is kept",
                    ) from None
            except openai.APITimeoutError:
                raise Problem(
                    f"{self.host} gave no answer within {self.settings.timeout:g} s; it may charge for it all the same",
                    do="run it again, with a longer timeout: what has arrived is kept",
                ) from None
            except openai.APIConnectionError as error:
                raise self._no_connection(error) from None
            self._wait(wait)
            waited += wait
            wait *= 2

    def _sent(self, request: ServiceRequest) -> tuple[str, bytes]:
        """Type and content of the answer."""
        import openai

        settings = self.settings
        client = openai.OpenAI(
            api_key=self._key, base_url=settings.address, timeout=settings.timeout, max_retries=0
        ).images.with_raw_response
        told: dict[str, Any] = {"model": settings.model, "n": 1, "size": settings.size}
        png = "image/png"
        if request.kind == "generate":
            answer: Any = client.generate(prompt=request.prompt, **told)
        elif request.kind == "variation":
            answer = client.create_variation(image=("image.png", request.image, png), **told)
        else:
            if request.mask:
                told["mask"] = ("mask.png", request.mask, png)
            answer = client.edit(image=("image.png", request.image, png), prompt=request.prompt, **told)
        return str(answer.headers.get("content-type", "")), bytes(answer.content)

    def _sound(self, answer: tuple[str, bytes]) -> dict[str, Any]:
        """An answer that holds an image.

        Raises:
            Problem: it does not.
        """
        kind, content = answer
        try:
            found = json.loads(content)
            item = found["data"][0]
            base64.b64decode(item["b64_json"], validate=True) if item.get("b64_json") else item["url"].encode()
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, binascii.Error):
            raise self._no_answer(kind, content) from None
        kept = {name: item.get(name) for name in ("b64_json", "url", "revised_prompt")}
        return {"created": found.get("created"), "data": [kept], "usage": found.get("usage")}

    def _no_answer(self, kind: str, content: bytes) -> Problem:
        if "html" in kind or content.lstrip()[:1] == b"<":
            return Problem(
                f"{self.settings.address} answers with a web page, not as an image service",
                do="check the address: it often ends in /v1",
            )
        start = self._without_key(content[:60].decode("utf-8", "replace"))
        return Problem(f"{self.host} gave an answer without an image, '{start}'", do="check the model and the address")

    def _refusal(self, error: Any) -> Problem:
        """What a service says no with, in a line."""
        kind, content = str(error.response.headers.get("content-type", "")), bytes(error.response.content)
        if "html" in kind or content.lstrip()[:1] == b"<":
            return self._no_answer(kind, content)
        body = error.body if isinstance(error.body, dict) else {}
        said = self._without_key(str(body.get("message") or "no reason given"))[:160].rstrip(".")
        code = _code(error)
        if error.status_code in (401, 403):
            return Problem(f"{self.host} does not accept the key ({said})", do="check the key, and what it may do")
        if error.status_code == 404:
            return Problem(f"{self.host} does not know what is asked ({said})", do="check the model and the address")
        if "content_policy" in code or "moderation" in code or "safety" in said.lower():
            return Problem(f"{self.host} refuses by its content policy ({said})", do="say it in other words")
        if code == "insufficient_quota":
            return Problem(f"the account at {self.host} is used up ({said})", do="add to it: what has arrived is kept")
        if error.status_code >= 500:
            return Problem(
                f"{self.host} failed, {error.status_code} ({said})", do="run it again later: what has arrived is kept"
            )
        return Problem(f"{self.host} refuses, {error.status_code} ({said})", do="mend what it names")

    def _no_connection(self, error: Exception) -> Problem:
        cause = error.__cause__
        if cause is not None and "Connect" in type(cause).__name__:
            return Problem(f"{self.settings.address} cannot be reached", do="check the address and the network")
        return Problem(
            f"the connection to {self.host} was cut before an answer; it may charge for it all the same",
            do="run it again: what has arrived is kept",
        )

    def _fetched(self, url: str, place: Path) -> bytes:
        """An image that an answer gives the address of; it is kept beside the answer, for addresses run out."""
        file = place.with_suffix(".image")
        if file.exists():
            return file.read_bytes()
        if urlsplit(url).scheme not in ("http", "https"):
            raise Problem(f"{self.host} names an image at '{url[:40]}'", do="ask another service")
        try:
            with urllib.request.urlopen(url, timeout=self.settings.timeout) as answer:
                data: bytes = answer.read(_MOST_BYTES)
        except (urllib.error.URLError, OSError, ValueError):
            raise Problem(
                f"the image that {self.host} made cannot be fetched from where it put it",
                do=f"run it again soon: its address is kept in {place}, and nothing is paid again",
            ) from None
        write_whole(file, lambda temporary: temporary.write_bytes(data))
        return data

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***")


def png_of(rgb: NDArray[np.floating[Any]], alpha: NDArray[np.bool_] | None = None) -> bytes:
    """A PNG file of 8 bit of an image ``(3, height, width)`` in [0, 1].

    Args:
        rgb: the image.
        alpha: ``(height, width)``, true where it is transparent: where a service may change it.
    """
    eight = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    if alpha is not None:
        eight = np.dstack([eight, np.where(alpha, 0, 255).astype(np.uint8)])
    file = io.BytesIO()
    Image.fromarray(eight).save(file, format="PNG")
    return file.getvalue()


def resized(rgb: NDArray[np.floating[Any]], size: tuple[int, int]) -> NDArray[np.float32]:
    """An image ``(channels, height, width)`` brought to a size by Lanczos' window, which does not alias."""
    height, width = size
    if rgb.shape[1:] == (height, width):
        return rgb.astype(np.float32)
    channels = [
        np.asarray(Image.fromarray(channel.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS))
        for channel in rgb
    ]
    within: NDArray[np.float32] = np.clip(np.stack(channels), 0, 1).astype(np.float32)
    return within


def words_of_size(size: tuple[int, int]) -> str:
    """A size as height x width, for labels."""
    return f"{size[0]} x {size[1]}"


def _key_of(settings: ServiceSettings) -> str:
    if settings.key_file is not None:
        try:
            key = settings.key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise Problem(f"the key cannot be read from {settings.key_file}", do="check the file") from None
        if not key:
            raise Problem(f"{settings.key_file} holds no key", do="put it there")
        return key
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        raise Problem(
            f"the environment variable {settings.key_variable} holds no key for the service",
            do="set it, or name a file with key_file",
        )
    return key


def _code(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("code") or body.get("type") or "")


def _retry_after(error: Any) -> float | None:
    """Seconds that a busy service asks to wait, where it says so."""
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
