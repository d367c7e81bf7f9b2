"""What the server refuses, and the port it listens on."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from latentbench.app.guard import Guard, is_loopback
from latentbench.app.server import DEFAULT_PORT, find_port
from latentbench.cli import main
from latentbench.errors import ConfigError

LIMIT = 100


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the whole body and answers with its length."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.start", "status": 499})
            return
        length += len(message["body"])
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "length": length})


def request(
    headers: dict[str, str],
    *,
    host: str = "127.0.0.1",
    kind: str = "http",
    body: Sequence[bytes] = (),
) -> Any:
    """Return the first message that a guarded server sends."""
    sent: list[Any] = []

    def messages() -> Iterator[dict[str, Any]]:
        for place, part in enumerate(body or [b""]):
            more = place + 1 < len(body)
            yield {"type": "http.request", "body": part, "more_body": more}

    parts = messages()

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    guard = Guard(answer, host=host, max_body=LIMIT)
    asyncio.run(guard({"type": kind, "headers": pairs}, receive, send))
    return sent[0]


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost:8090", "[::1]:8090", "127.0.0.1"])
def test_the_page_itself_is_allowed(host: str) -> None:
    assert request({"host": host})["status"] == 200
    assert request({"host": host, "origin": f"http://{host}"})["status"] == 200
    assert request({"host": host}, kind="websocket")["type"] == "websocket.accept"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": ""},
        {"host": "evil.example:8090"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.0.7:8090"},
        {"host": "[::1"},
        {"host": "127.0.0.1:8090", "origin": "http://evil.example"},
        {"host": "127.0.0.1:8090", "origin": "http://127.0.0.1:8888"},
        {"host": "127.0.0.1:8090", "origin": "null"},
        {"host": "evil.example:8090", "origin": "http://evil.example:8090"},
    ],
)
def test_other_names_and_sites_are_refused(headers: dict[str, str]) -> None:
    assert request(headers)["status"] == 403
    assert request(headers, kind="websocket")["type"] == "websocket.close"


def test_with_a_host_its_addresses_are_allowed_and_foreign_names_are_not() -> None:
    for name in ("192.168.0.7:8090", "[fe80::1]:8090", socket.gethostname(), "127.0.0.1"):
        assert request({"host": name}, host="0.0.0.0")["status"] == 200, name
    assert request({"host": "evil.example"}, host="0.0.0.0")["status"] == 403
    assert request({"host": "lab.example"}, host="lab.example")["status"] == 200


def test_large_bodies_are_refused_with_and_without_a_length() -> None:
    headers = {"host": "127.0.0.1"}
    parts = [b"x" * 60] * 2
    assert request(headers | {"content-length": "120"}, body=parts)["status"] == 413
    assert request(headers | {"content-length": "-1"}, body=parts)["status"] == 413
    assert request(headers, body=parts)["status"] == 499
    assert request(headers, body=[b"x" * 50] * 2)["length"] == LIMIT


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "lab.example", ""])
def test_no_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_taken_port_is_refused_and_without_a_port_the_next_is_used() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)):
            find_port("127.0.0.1", port)
    assert find_port("127.0.0.1", port) == port
    found = find_port("127.0.0.1")
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", found))
        taken.listen()
        assert find_port("127.0.0.1") > found >= DEFAULT_PORT


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.host"):
        find_port("no.such.host.invalid")


def test_the_command_ends_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nicegui", None)
    result = CliRunner().invoke(main, ["app", "demo", "--results", str(tmp_path)])
    assert result.exit_code == 1
    assert "make app" in result.output
    # A stand-in for the library: the study is read before it is used.
    monkeypatch.setitem(sys.modules, "nicegui", sys)
    result = CliRunner().invoke(main, ["app", "demo", "--results", str(tmp_path)])
    assert result.exit_code == 1
    assert "demo" in result.output
    assert "Traceback" not in result.output
