"""The server in a thread of the tests' own process: its model waits at a gate, and what it holds can be counted."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nin_spec.serving import server as server_module
from nin_spec.serving.engine import Engine, Plan, open_engine
from nin_spec.serving.grpc.rpc import Rpc
from nin_spec.serving.http.app import App
from nin_spec.serving.models import Choice, Opened, Served, Source
from nin_spec.serving.server import Server, Settings, serve
from nin_spec.serving.service import Service
from nin_spec.serving.tensors import Array


@dataclass(frozen=True)
class Gated(Engine):
    """Runs when the gate is open, and remembers the rows of each run."""

    gate: threading.Event
    runs: list[int]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.runs.append(len(arrays[0]))
        assert self.gate.wait(60)
        return super().run(arrays)


class Unsignalled(Server):
    """One that lives beside the main thread, where no signal arrives."""

    @contextmanager
    def signals(self) -> Iterator[None]:
        yield


class Hosted:
    """A server of one model, `small`, that runs up to `rows` rows at once. `runs` are its runs' rows."""

    def __init__(self, path: Path, rows: int, queue: int, settings: Settings) -> None:
        self.gate, self.runs = threading.Event(), list[int]()
        found = open_engine(path, "cpu", 1)
        engine = Gated(found.session, found.inputs, found.outputs, self.gate, self.runs)
        opened = Opened(Source(path, "small"), engine, None, Plan(rows), (), most=rows)
        self._ready, self._own_tasks = threading.Event(), 0
        arguments = ([opened], Choice("cpu", 1, rows, queue=queue), settings, self._listens)
        self._thread = threading.Thread(target=self._serve, args=arguments)
        self._thread.start()
        assert self._ready.wait(60)

    def _serve(self, *arguments: Any) -> None:
        with patch.object(server_module, "Server", self._server):
            serve(*arguments)

    def _server(
        self, service: Service, app: App, settings: Settings, ready: Callable[[str], None], rpc: Rpc | None
    ) -> Server:
        self.service, self.budget, self.loop = service, app.budget, asyncio.get_running_loop()
        self.server = Unsignalled(service, app, settings, ready, rpc)
        return self.server

    def _listens(self, address: str) -> None:
        self.port, *others = (int(port) for port in re.findall(r":(\d+)", address))
        self.grpc_port = others[0] if others else 0
        self._own_tasks = len(asyncio.all_tasks())
        self._ready.set()

    @property
    def served(self) -> Served:
        """The model."""
        return self.service.repository.find("small")

    @property
    def pending(self) -> int:
        """Waiting requests."""
        return self.served.batcher.pending

    @property
    def holds(self) -> dict[str, int]:
        """What there is for clients: nothing once all of them have been answered, or are gone."""
        return {
            "connections": len(self.server.server_state.connections),
            "tasks": len(asyncio.all_tasks(self.loop)) - self._own_tasks,
            "requests": self.pending,
            "bytes": self.budget.reserved,
        }

    def end(self) -> None:
        """Let everything pass, and stop as a signal does."""
        self.gate.set()
        self.loop.call_soon_threadsafe(self.server._stop)
        self._thread.join(60)
        assert not self._thread.is_alive()


@contextmanager
def hosted(path: Path, *, rows: int = 8, queue: int = 256, **settings: Any) -> Iterator[Hosted]:
    """A server for the time of a test; its gate is closed."""
    server = Hosted(path, rows, queue, Settings(**{"port": 0, "linger": 0.1, **settings}))
    try:
        yield server
    finally:
        server.end()
