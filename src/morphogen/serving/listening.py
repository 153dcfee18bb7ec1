"""Where a server listens: on this machine alone, unless it is told otherwise and has a token."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from morphogen.problems import Problem
from morphogen.serving.guard import Guard

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to be reached.

    Attributes:
        host: address to listen at.
        port: to listen at; 0 for any that is free.
        token: what every address begins with; "" for none.
        address: where browsers find it, if another server with https passes on to it, "https://review.example".

    Raises:
        Problem: it can be reached from beyond loopback and there is no token, or token or address are malformed.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        found = urlsplit(self.address)
        if self.address and (found.scheme not in ("http", "https") or not found.hostname or found.path.strip("/")):
            raise Problem(f"'{self.address}' is no address", do="write it like https://review.example")
        object.__setattr__(self, "address", self.address.rstrip("/"))
        if (self.address or self.host not in LOOPBACK) and len(self.token) < SHORTEST_TOKEN:
            raise Problem(
                f"{self.address or self.host} can be reached by other machines",
                do=f"give a token of {SHORTEST_TOKEN} or more letters, which every address will begin with",
            )
        if self.token and not all(c.isascii() and (c.isalnum() or c in "-_") for c in self.token):
            raise Problem("the token has other signs than letters, digits, - and _", do="choose another")

    def guard(self, app: Any) -> Guard:
        """The application behind what may be asked for here."""
        local = self.host in LOOPBACK
        hosts = frozenset({*LOOPBACK, self.host, urlsplit(self.address).hostname or self.host}) if local else None
        return Guard(app, hosts, self.token)

    def listen(self) -> socket.socket:
        """Listen.

        Raises:
            Problem: the port is taken, or the address is not one of this machine.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=256)
        except (OSError, OverflowError) as error:
            raise Problem(
                f"cannot listen at {self.host}, port {self.port} ({error})", do="choose another port or host"
            ) from None

    def prefix(self, listening: socket.socket) -> str:
        """What every address begins with, without a slash at the end."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        start = self.address or f"http://{shown}:{listening.getsockname()[1]}"
        return start + (f"/{self.token}" if self.token else "")


def serve_until_stopped(app: Any, place: Place, tell: Callable[[str], None]) -> None:
    """Serve an application until Ctrl-C or a signal to end.

    Args:
        app: the application.
        place: where.
        tell: is told what every address begins with, when the server can be reached.

    Raises:
        Problem: the port is taken, or the address is not one of this machine.
    """
    import uvicorn

    with closing(place.listen()) as listening:
        tell(place.prefix(listening))
        config = uvicorn.Config(
            place.guard(app), log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = uvicorn.Server(config)

        def worth_telling(record: logging.LogRecord) -> bool:
            """All but that a stop cuts off what is still on its way, which is what a stop is."""
            if not server.should_exit:
                return True
            kind = record.exc_info[0] if record.exc_info else None
            cut_off = kind is not None and issubclass(kind, asyncio.CancelledError | KeyboardInterrupt)
            text = record.getMessage()  # the end of the lifespan comes as text, and how many tasks are cut off
            return not (cut_off or "asyncio.exceptions.CancelledError" in text or text.startswith("Cancel "))

        log = logging.getLogger("uvicorn.error")
        log.addFilter(worth_telling)
        try:
            server.run(sockets=[listening])
        finally:
            log.removeFilter(worth_telling)
