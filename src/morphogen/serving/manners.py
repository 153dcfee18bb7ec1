"""The same headers on every answer, and no body that is larger than what is asked for can be.

The content policy allows the page's own script and style and nothing inline, and nothing from elsewhere. An answer that
brings a policy of its own keeps it: a report that is shown inside a page must not be less confined than the page.
"""

from collections.abc import Callable
from typing import Any

from starlette.responses import PlainTextResponse

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ENCODED = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Manners:
    """Headers and the limit of bodies, in front of an application.

    Args:
        app: the application.
        largest_body: bytes that may be sent with a request, by its path without the token of the server.
        too_large: what is said of more.
    """

    def __init__(self, app: Any, largest_body: Callable[[str], int], too_large: str) -> None:
        self._app, self._largest_body, self._too_large = app, largest_body, too_large

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on what is not too large, and add the headers to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in _ENCODED if name not in own]
                message = message | {"headers": [*message["headers"], *added]}
            await send(message)

        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if b"transfer-encoding" in headers or not length.isdigit() or int(length) > self._largest_body(path):
            await PlainTextResponse(f"{self._too_large}\n", 413)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)
