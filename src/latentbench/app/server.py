"""The server of the explorer: on this machine alone, unless a host is given."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from latentbench.app.uploads import MAX_BYTES
from latentbench.artifacts.progress import log
from latentbench.errors import ConfigError, StorageError, quote, reason

if TYPE_CHECKING:
    from latentbench.app.explorer import Explorer

DEFAULT_PORT = 8090
_NUM_TRIED = 20
_FORM_BYTES = 2**20  # of a form around an uploaded picture


def serve(
    results: Path, data: Path, *, host: str = "127.0.0.1", port: int | None = None, show: bool
) -> None:
    """Load the models of a study and serve the page until the process is interrupted.

    `show` opens it in a browser.

    Raises:
        ArtifactError: The study has no trained model.
        ConfigError: The extra `app` is not installed, or the host or port cannot be used.
    """
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "The explorer needs the extra `app`; add it with `make app`, or with "
            "`pip install 'latentbench[app]'`."
        ) from error
    from latentbench.app.explorer import open_explorers
    from latentbench.app.guard import is_loopback

    port = find_port(host, port)
    log(f"Loading the models of {results}.")
    explorers = open_explorers(results, data)
    for explorer in explorers.values():
        for note in explorer.notes:
            log(note)
    if not is_loopback(host):
        log(
            f"Warning: with --host {host} everyone who reaches this machine can use the explorer "
            "and upload pictures."
        )
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    log(f"The explorer is at {url} (Ctrl+C ends it).")
    _run(results.name, explorers, host=host, port=port, show=show)


def find_port(host: str, port: int | None = None) -> int:
    """Return the port, or without one the first free port from 8090 on.

    Raises ConfigError if the port is taken or the host is none of this machine.
    """
    tried = range(DEFAULT_PORT, DEFAULT_PORT + _NUM_TRIED) if port is None else [port]
    failure: OSError | None = None
    for each in tried:
        try:
            family, *_, place = socket.getaddrinfo(host, each, type=socket.SOCK_STREAM)[0]
            with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(place)
            return each
        except OSError as error:
            failure = error
    assert failure is not None
    where = f"Port {port}" if port is not None else f"Ports {tried[0]} to {tried[-1]}"
    raise ConfigError(
        f"{where} of {quote(host)} cannot be used ({reason(failure)}); choose another --port or "
        "--host."
    )


def _run(study: str, explorers: dict[str, Explorer], *, host: str, port: int, show: bool) -> None:
    from nicegui import app, ui
    from starlette.formparsers import MultiPartParser

    from latentbench.app.guard import Guard
    from latentbench.app.page.layout import build_page

    # Uploads stay in memory: Starlette writes what is larger into a temporary file.
    MultiPartParser.spool_max_size = MAX_BYTES + _FORM_BYTES
    app.add_middleware(Guard, host=host, max_body=MAX_BYTES + _FORM_BYTES)
    try:
        ui.run(
            lambda: build_page(study, explorers),
            host=host,
            port=port,
            title="latentbench",
            reload=False,
            show=show,
            show_welcome_message=False,
            uvicorn_logging_level="error",
            access_log=False,
        )
    except KeyboardInterrupt:
        log("The explorer has ended.")
    except OSError as error:
        raise StorageError(f"The explorer ended ({reason(error)}); start it again.") from error
