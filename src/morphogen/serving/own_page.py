"""Whether a request that changes something comes from the server's own page.

Such a request needs the cookie of its page, which no other site is sent (SameSite=Strict), and its origin. The cookie
is a random word and its signature by a secret; the server remembers none of them. Its name is of the secret too:
browsers do not part the cookies of two ports.
"""

import hashlib
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response


def give_cookie(response: Response, request: Request, secret: str, path: str) -> None:
    """Give a page its cookie.

    Args:
        response: the page.
        request: that asked for it.
        secret: what only the server, or only the owner of a link, knows.
        path: where the cookie holds.
    """
    nonce = secrets.token_urlsafe(12)
    response.set_cookie(
        _name(secret), f"{nonce}.{_signature(secret, nonce)}", path=path, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def is_from_own_page(request: Request, secret: str, address: str = "") -> bool:
    """Whether a request comes from a page of this secret: by its cookie and its origin.

    Args:
        request: what came.
        secret: as given to ``give_cookie``.
        address: by which browsers reach the server through another one, "https://review.example".
    """
    nonce, _, signature = request.cookies.get(_name(secret), "").partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, nonce).encode()):
        return False
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("origin")
    return origin is None or origin == address or origin.partition("://")[2] == request.headers.get("host")


def _signature(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def _name(secret: str) -> str:
    return f"page-{_signature(secret, 'name of the cookie')[:12]}"
