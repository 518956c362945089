"""The server process: a socket, uvicorn, signals, reload, and a graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from nin_spec.diagnostics import Code, InputError
from nin_spec.serving.http.app import App
from nin_spec.serving.http.connection import Connection
from nin_spec.serving.http.guard import Guard
from nin_spec.serving.limits import MemoryBudget
from nin_spec.serving.logs import logger
from nin_spec.serving.models import Choice, Opened, Repository
from nin_spec.serving.service import Service

if TYPE_CHECKING:
    from nin_spec.serving.grpc.rpc import Rpc


_OVERTIME = 1.5
"""Seconds after a drain in which everything ends by itself."""
_TERMINATED = 143
"""The exit code of a process that SIGTERM ended (128 + 15)."""
_LAST_ANSWERS = 0.1
"""Seconds for responses to be sent after the drain's timeout."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the server, in seconds and bytes.

    `reload` is the interval of file checks, None disables them. `hosts` are accepted host names in addition to this
    machine's.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    timeout: float = 30.0
    read_timeout: float = 30.0
    drain: float = 25.0
    linger: float = 0.5
    body: int = 64 << 20
    memory: int = 256 << 20
    token: bytes | None = None
    reload: float | None = None
    grpc_port: int | None = None
    hosts: tuple[str, ...] = ()


def serve(models: Sequence[Opened], choice: Choice, settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until a stop signal. `ready` is called with the address. Raises InputError for a port in use."""
    try:
        # Its end waits for the loop's threads: one may run a model that never returns.
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            runner.run(_serve(models, choice, settings, ready))
    finally:
        while _timers:
            _timers.pop().cancel()


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Use uvloop if installed, which handles sockets in C; else asyncio's own loop."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(models: Sequence[Opened], choice: Choice, settings: Settings, ready: Callable[[str], None]) -> None:
    repository = Repository(choice)
    for opened in models:
        repository.add(opened)
    service = Service(repository, settings.timeout or None)
    budget = MemoryBudget(settings.body, settings.memory)
    rpc = await _listen(service, budget, settings)
    told = (lambda address: ready(f"{address} and {rpc.address}")) if rpc else ready
    app = App(service, budget, settings.token, Guard.of(settings.host, settings.hosts))
    server = Server(service, app, settings, told, rpc)
    with server.signals():
        try:
            await server.serve()
        finally:
            if rpc:
                await rpc.stop(0)
            await repository.close(at_once=server.force_exit)
            budget.close()
            logger.info("stopped")


async def _listen(service: Service, budget: MemoryBudget, settings: Settings) -> Rpc | None:
    """The gRPC server, if requested."""
    if settings.grpc_port is None:
        return None
    from nin_spec.serving.grpc.rpc import Interceptor, listen

    interceptor = Interceptor(budget, settings.token, settings.read_timeout)
    return await listen(service, interceptor, settings.host, settings.grpc_port)


_timers: list[threading.Timer] = []


def _end_after(seconds: float) -> None:
    """End the process after `seconds`: a model that never returns can't be stopped otherwise."""
    timer = threading.Timer(seconds, _end)
    timer.daemon = True
    timer.start()
    _timers.append(timer)


def _end() -> None:
    logger.error("stopped: the requests in progress did not finish in time")
    sys.stderr.flush()
    os._exit(_TERMINATED)


class Server(uvicorn.Server):
    """uvicorn's server, with our signals, a watch over slow clients, and a drain."""

    def __init__(
        self, service: Service, app: App, settings: Settings, ready: Callable[[str], None], rpc: Rpc | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.service, self.settings, self._ready, self._rpc = service, settings, ready, rpc
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            where = f"{self.settings.host}:{self.settings.port}"
            message = f"can't listen on {where}: in use, not an address of this machine, or not permitted"
            raise InputError(Code.SERVE_UNUSABLE, message, hint="pass another --port or --host") from None
        self._tasks.append(asyncio.create_task(self._hurry()))
        if self.settings.reload:
            self._tasks.append(asyncio.create_task(self.service.repository.watch(self.settings.reload)))
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def _hurry(self) -> None:
        """Close connections whose request does not arrive in time."""
        while True:
            await asyncio.sleep(min(1.0, self.settings.read_timeout))
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                connection.hurry(now, self.settings.read_timeout)

    def _connections(self) -> list[Connection]:
        return [c for c in self.server_state.connections if isinstance(c, Connection)]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """No-op: signals must not interrupt what follows uvicorn's own shutdown, either."""
        yield

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reloads if enabled."""
        loop = asyncio.get_running_loop()
        handlers = {"SIGTERM": self._stop, "SIGINT": self._stop, "SIGHUP": self._hang_up}
        # By signal.signal, as event loops on Windows have no signal handlers; it has no SIGHUP either.
        numbers = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
        before = {
            number: signal.signal(number, lambda *_, handler=handler: loop.call_soon_threadsafe(handler))
            for number, handler in numbers.items()
        }
        try:
            yield
        finally:
            for number, original in before.items():
                signal.signal(number, original)

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
            _end_after(_OVERTIME)
            return
        self.service.draining = self.should_exit = True
        _end_after(self.settings.drain + _OVERTIME)
        if self._rpc:
            self._rpc.interceptor.closing = True
        for server in getattr(self, "servers", ()):  # none before the start
            server.close()
        self._say_goodbye()
        logger.info("draining: no new connections, requests in progress are completed")

    def _say_goodbye(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.say_goodbye(now, self.settings.linger)

    def _hang_up(self) -> None:
        if self.should_exit:
            return
        if self.settings.reload is None:
            logger.warning("SIGHUP is ignored: reload is off (--reload)")
            return
        self._tasks.append(asyncio.create_task(self.service.repository.reload(changed_only=False)))

    async def shutdown(self, sockets: Any = None) -> None:
        """Complete the requests of all connections and calls, then shut down uvicorn.

        After the timeout, or a second signal, waiting requests are rejected.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.drain
        calls = loop.create_task(self._rpc.stop(self.settings.drain) if self._rpc else asyncio.sleep(0))
        while (self._connections() or not calls.done()) and not self.force_exit and loop.time() < until:
            self._say_goodbye()
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        if self._connections() or not calls.done():
            await self._give_up()
        await super().shutdown(sockets)

    async def _give_up(self) -> None:
        """After the timeout: reject waiting requests, and drop clients that do not read their response."""
        await self.service.repository.close(at_once=True)
        for connection in self._connections():
            if connection.sends:
                connection.refuse(503, "the server is closing")
        await asyncio.sleep(_LAST_ANSWERS)
        for connection in self._connections():
            connection.transport.abort()
