"""What holds for every test: no network, no spinning threads. Set before any test imports torch."""

import os
import socket

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that reaches for another machine fails at once; this machine's own addresses stay open."""
    connect = socket.socket.connect

    def guarded(self, address):
        is_remote = self.family in (socket.AF_INET, socket.AF_INET6)
        if is_remote and address[0] not in ("localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname()):
            raise OSError(f"a test tried to reach {address[0]}: tests run without a network")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
