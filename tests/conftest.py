"""Fixtures for every test. A test that reaches for a server outside this machine fails here, not when it is down."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only loopback can be reached, and no service address or key of the user's environment leaks in."""
    real_connect, real_resolve = socket.socket.connect, socket.getaddrinfo

    def connect(self: socket.socket, address, *args):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise AssertionError(f"a test tried to reach {address[0]}")
        return real_connect(self, address, *args)

    def resolve(host, *args, **kwargs):
        if host not in LOOPBACK:
            raise AssertionError(f"a test tried to look up {host}")
        return real_resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for name in list(os.environ):
        if name.startswith("HARVESTER_") or name == "NCBI_API_KEY":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real articles and histology beside the checkout; tests that need it say so when it is absent."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not (path / "articles" / "truth.json").exists():
        pytest.skip("real articles and images are not beside this checkout (../shared)")
    return path
