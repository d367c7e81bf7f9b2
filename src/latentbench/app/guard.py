"""What the server refuses: requests by other sites or under other names, and large bodies.

A server on 127.0.0.1 is reached by every page that the user's browser opens. A page of another
site has another `Origin`; one whose name was pointed at 127.0.0.1 after it was loaded (DNS
rebinding) has that name as `Host`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str) -> frozenset[str]:
    """Return the host names that requests to a server on `host` may have.

    The names of this machine are added where it listens on more than the loopback. Its addresses
    are allowed as well: no page of another site has an address as its name.
    """
    if is_loopback(host):
        return _LOOPBACK | {host}
    return _LOOPBACK | {host, socket.gethostname().lower(), socket.getfqdn().lower()}


class Guard:
    """An ASGI application that refuses requests before another one sees them.

    Requests under another name or by another site get status 403, bodies of more than `max_body`
    bytes 413. A WebSocket is closed.
    """

    def __init__(self, app: Application, *, host: str, max_body: int) -> None:
        self.app = app
        self.hosts = allowed_hosts(host)
        self.any_address = not is_loopback(host)
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        if not self.is_allowed(headers.get(b"host", ""), headers.get(b"origin")):
            await _refuse(scope, send, 403, b"This address is not allowed; open 127.0.0.1.")
        elif not self._fits(headers.get(b"content-length")):
            await _refuse(scope, send, 413, b"The picture is too large.")
        else:
            await self.app(scope, self._limited(receive), send)

    def is_allowed(self, host: str, origin: str | None) -> bool:
        """Return whether a request with these headers is by a page of this server."""
        name = _host_name(f"//{host}")
        if name is None or not (name in self.hosts or (self.any_address and _is_address(name))):
            return False
        return origin is None or urlsplit(origin).netloc.lower() == host.lower()

    def _fits(self, length: str | None) -> bool:
        return length is None or (length.isdigit() and int(length) <= self.max_body)

    def _limited(self, receive: Receive) -> Receive:
        """Return a `receive` that ends a body without a stated length once it is too large."""
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_body:
                    return {"type": "http.disconnect"}
            return message

        return limited


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(scope: Scope, send: Send, status: int, text: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
