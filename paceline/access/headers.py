"""The headers of every answer: what a browser must not do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OVER_TLS: Mapping[str, str] = {"Strict-Transport-Security": "max-age=31536000"}
"""What is added where people reach the service by https."""


class SafeHeaders:
    """Adds headers to all answers of an app that do not have them."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, encoded(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, adding(send, self._headers))


Encoded = Sequence[tuple[bytes, bytes]]
"""Headers as a server sends them, their names in lower case."""


def encoded(headers: Mapping[str, str]) -> Encoded:
    """Headers as a server sends them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def adding(send: Send, headers: Encoded) -> Send:
    """Sends an answer with more headers, where it does not have them."""
    if not headers:
        return send

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", ()))
            names = {name.lower() for name, _ in own}
            message["headers"] = own + [one for one in headers if one[0] not in names]
        await send(message)

    return with_headers
