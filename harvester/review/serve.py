"""Serving the page: one socket on loopback, until Ctrl-C."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable

import uvicorn

from harvester.catalog import Catalog
from harvester.errors import UsageError
from harvester.review.app import make_app
from harvester.review.gate import Gate
from harvester.review.queue import Queue


def account_name() -> str:
    """Return the name of the account, "reviewer" where it has none."""
    try:
        return getpass.getuser() or "reviewer"
    except (KeyError, OSError):
        return "reviewer"


def listen(port: int) -> socket.socket:
    """Return a socket that only this machine reaches.

    Raises:
        UsageError: when the port is taken or not allowed.
    """
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("127.0.0.1", port))
        door.listen(128)
    except OSError as error:
        door.close()
        raise UsageError(f"Port {port} cannot be used ({error.strerror}); give another with --port.") from error
    return door


def make_server(
    catalog: Catalog, queue: Queue, door: socket.socket, *, reviewer: str, blind: bool
) -> tuple[uvicorn.Server, str]:
    """Return a server for a listening socket, and the address with its token."""
    port = door.getsockname()[1]
    gate = Gate(make_app(catalog, queue, reviewer=reviewer, blind=blind), port=port)
    config = uvicorn.Config(
        gate,
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        http="h11",
        lifespan="off",
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config), f"http://127.0.0.1:{port}/?token={gate.token}"


def serve(
    catalog: Catalog,
    queue: Queue,
    door: socket.socket,
    *,
    reviewer: str,
    blind: bool,
    echo: Callable[[str], None],
) -> None:
    """Serve until interrupted; the address is told once."""
    server, address = make_server(catalog, queue, door, reviewer=reviewer, blind=blind)
    echo(f"Review as {reviewer}: {address}")
    echo("Ctrl-C closes the page.")
    try:
        server.run(sockets=[door])
    except KeyboardInterrupt:
        return
