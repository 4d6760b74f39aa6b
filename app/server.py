"""What stands around the pages: warm caches, security headers, one calm line where a script fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import UserError

# Streamlit needs inline scripts and styles, blob: modules for components and WebAssembly for its data tables.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self' ws: wss:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


class SecurityHeaders:
    """Adds `HEADERS` to every HTTP answer that does not carry them already."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


middleware = [Middleware(SecurityHeaders)]


async def to_the_start(request: Request) -> RedirectResponse:
    """The start page lives at / alone; whoever types its name comes there with the rest of the link."""
    return RedirectResponse(request.url.replace(path="/", scheme="", netloc=""))


routes = [Route("/explore", to_the_start)]


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    """Read the first network's traces before the first visitor comes."""
    from app.warm_up import start

    start()
    yield {}


def show_script_error(error: Exception) -> bool:
    """A line in place of a traceback; the traceback goes to the server's log.

    Returns:
        True: handled.
    """
    if isinstance(error, UserError):
        st.error(str(error), icon=":material/error:")
    else:
        st.error(
            f"This page met an error of its own ({type(error).__name__}); the others go on. "
            "Reload it, or start from the first page. The server's log has the details.",
            icon=":material/error:",
        )
    return True
