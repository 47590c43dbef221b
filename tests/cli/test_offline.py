"""Nothing phones home."""

import socket

import pytest


@pytest.fixture
def no_network(monkeypatch):
    """Make connections to other machines raise, and name them afterwards."""
    tried = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def is_here(address):
        return not isinstance(address, tuple) or address[0] in ("localhost", "127.0.0.1", "::1")

    def guarded_connect(self, address):
        if not is_here(address):
            tried.append(address)
            raise OSError(f"a connection to {address}")
        return connect(self, address)

    def guarded_look_up(host, *arguments, **options):
        if host is not None and not is_here((host,)) and host != socket.gethostname():
            tried.append(host)
            raise OSError(f"a look-up of {host}")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    assert tried == []


def test_no_command_connects_to_another_machine(no_network, run):
    own = ("--config", "run/config.yaml", "--ckpt_path", "last")
    for command in (
        ("fit", "--config", "config.yaml", "--run_dir", "run"),
        ("test", *own),
        ("predict", *own),
        ("export", "--run_dir=run", "--ckpt_path=last", "--output=a.pt2", "--size", "48", "64"),
        ("data", "check", "--config", "run/config.yaml"),
        ("data", "show", "--config", "run/config.yaml"),
    ):
        status, out, err = run(*command)
        assert status in (0, None), err
        if command[0] == "fit":
            assert "tensorboard --host 127.0.0.1" in out
