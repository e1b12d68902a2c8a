"""A real redis-server for the tests, which can be stopped, paused and flushed."""

import os
import signal
from pathlib import Path

from tests.clients.processes import Daemon, is_listening
from tests.clients.programs import program
from tests.free_port import free_port


class RedisServer:
    """One redis-server on loopback; nothing of it outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._pid = folder / "redis.pid"
        command = [str(program("redis-server", "redis-server")), "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        self._daemon = Daemon([*command, "--pidfile", str(self._pid), "--dir", str(folder)], folder / "redis.log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._daemon.start(lambda: is_listening(self.port))

    def stop(self) -> None:
        self._daemon.stop()

    def pause(self) -> None:
        os.kill(int(self._pid.read_text()), signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(int(self._pid.read_text()), signal.SIGCONT)
