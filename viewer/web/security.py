"""Who may talk to the server, and what a browser may do with its answers.

The server listens on this computer only, but a web page that is open in the same browser can still send requests to
it (cross-site request forgery), or rename itself to this computer (DNS rebinding). So every request must name this
computer in `Host`, must not come from another site, and must carry `X-Previsage` when it changes something: a header
that another site cannot set without asking first.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viewer.web.problems import problem

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CUSTOM_HEADER = "x-previsage"
CONTENT_SECURITY_POLICY = "; ".join([
    "default-src 'self'", "script-src 'self'", "style-src 'self'",
    "img-src 'self' blob: data:", "connect-src 'self' blob:",  # three reads the picture inside a GLB as a blob
    "worker-src 'self' blob:", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"])
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), camera=(self), payment=(), usb=()",
}


def hostname(host_header: str) -> str:
    """The name in a Host header, without its port; empty when it is malformed."""
    try:
        return urlsplit("//" + host_header).hostname or ""
    except ValueError:
        return ""


def refusal(scope: Scope) -> str | None:
    """Why a request is not served, or None."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if hostname(host) not in LOOPBACK:
        return "This server answers only to the names of this computer."
    site = headers.get("sec-fetch-site")
    navigation = headers.get("sec-fetch-mode") == "navigate" and not scope["path"].startswith("/api/")
    if site not in (None, "same-origin", "none") and not (scope["method"] == "GET" and navigation):
        return "Another web site may not ask this server."
    if scope["method"] in SAFE_METHODS:
        return None
    origin = headers.get("origin")
    if origin is not None and origin != f"{scope['scheme']}://{host}":
        return "Another web site may not change anything here."
    if CUSTOM_HEADER not in headers:
        return "A request that changes something needs the header X-Previsage: 1."
    return None


class Guard:
    """ASGI middleware: refuse strangers, and add the security headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a permitted request on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith("/api/"):
                    headers["cache-control"] = "no-store"
            await send(message)

        reason = refusal(scope)
        if reason is None:
            await self.app(scope, receive, guarded_send)
        else:
            await problem(403, "not_permitted", reason)(scope, receive, guarded_send)
