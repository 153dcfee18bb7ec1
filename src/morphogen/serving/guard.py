"""What stands in front of an application: the name asked for, and the token of a server beyond loopback.

The name that a browser asks for has to be that of the server, against DNS rebinding. Beyond loopback all that is served
stands behind a token, the first part of every address.
"""

import hashlib
import hmac
from typing import Any

from starlette.responses import PlainTextResponse, RedirectResponse


class Guard:
    """Lets through what may be asked for.

    Args:
        app: the application.
        hosts: names that may be asked for; None for any, where a token is needed.
        token: first part of every address; "" for none.
    """

    def __init__(self, app: Any, hosts: frozenset[str] | None, token: str) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer what may not be asked for, and pass on the rest."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = _host_alone(headers.get(b"host", b"").decode("latin-1"))
            if self._hosts is not None and host not in self._hosts:
                await PlainTextResponse("This is not the server of that name.\n", 421)(scope, receive, send)
                return
            if self._token:
                first, slash, rest = scope["path"][1:].partition("/")
                if not hmac.compare_digest(_digest(first), _digest(self._token)):
                    await PlainTextResponse("Not found\n", 404)(scope, receive, send)
                    return
                if not slash:  # links of the page count from here
                    await RedirectResponse(f"/{first}/")(scope, receive, send)
                    return
                # Starlette takes the root off the path by itself.
                scope = scope | {"root_path": f"/{first}", "path": f"/{first}/{rest}"}
        await self._app(scope, receive, send)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _host_alone(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
