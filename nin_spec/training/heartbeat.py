"""Heartbeats between the processes of a training, to detect one that is stopped, killed or disconnected.

A thread of each process sends a line to process 0 every few seconds, and process 0 sends one to each. A process that
closes its connection without a goodbye, or sends nothing for `patience` seconds, is lost; process 0 informs the others.
A thread can't interrupt a collective operation that waits for a lost peer: if the process does not end within GRACE
seconds, the thread ends it, as PyTorch's own watchdog does.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Sequence

from nin_spec.diagnostics import Code, PeerLostError, TrainingError, render

GRACE = 5.0
"""Seconds for a process to end by itself once another is lost."""

RESUME_HINT = "the run folder has the last checkpoint: start all processes again with --resume"
_LONGEST_LINE = 1 << 16


class Heartbeat:
    """Watches the peers over `links`, one connected socket each.

    Process 0 has a link to every other process, they have one to it. `names` are the processes' descriptions by rank.
    `lost` is the error once a process is lost.
    """

    def __init__(self, rank: int, names: Sequence[str], links: dict[int, socket.socket], patience: float) -> None:
        self.rank, self.names, self.links, self.patience = rank, names, links, patience
        self.lost: PeerLostError | None = None
        self.found, self.left = threading.Event(), threading.Event()
        self._said: dict[int, bytes] = dict.fromkeys(links, b"")
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="nin-spec heartbeat", daemon=True)
        self._thread.start()

    def leave(self, reason: str | None) -> None:
        """Send a goodbye, with the reason if it is an error.

        Process 0 then waits until the others have left, so that what it serves to them stays available.
        """
        self.left.set()
        self._send({"left": reason})
        self._thread.join(self.patience + GRACE)
        for link in self.links.values():
            # Closing a connection with unread data resets it, and loses the last message sent.
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)
                link.settimeout(GRACE)
                while link.recv(_LONGEST_LINE):
                    pass
            link.close()
        self.links.clear()

    def _watch(self) -> None:
        """Send, listen and check, until every peer has left or one is lost."""
        every = min(self.patience / 5, 5.0)
        heard = dict.fromkeys(self.links, time.monotonic())
        due = 0.0
        while self.links and not self.found.is_set() and not (self.left.is_set() and self.rank):
            if time.monotonic() >= due:
                self._send({"beat": True})
                due = time.monotonic() + every
            # Read messages before checking for silence: this process itself may have been stopped meanwhile.
            for rank in self._readable(due):
                heard[rank] = time.monotonic()
                self._read(rank)
            for rank in list(self.links):
                if time.monotonic() - heard[rank] > self.patience:
                    self._lose(
                        rank, f"has not sent a heartbeat for {self.patience:g} s: it is stopped, hung or disconnected"
                    )
        if self.found.is_set():
            self._end()

    def _readable(self, due: float) -> list[int]:
        """The peers that have sent something; waits at most until the next beat."""
        with selectors.DefaultSelector() as selector:
            for rank, link in self.links.items():
                selector.register(link, selectors.EVENT_READ, rank)
            return [key.data for key, _ in selector.select(min(max(due - time.monotonic(), 0.0), 0.2))]

    def _read(self, rank: int) -> None:
        try:
            data = self.links[rank].recv(_LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(rank)
            self._lose(rank, "was killed or has crashed: its connection is closed")
            return
        *lines, self._said[rank] = (self._said[rank] + data).split(b"\n")
        for line in lines:
            self._hear(rank, json.loads(line))

    def _hear(self, rank: int, told: dict[str, object]) -> None:
        if "lost" in told:
            culprit = int(str(told["lost"]))
            mine = "did not respond to the others, which have ended without it: was it stopped?"
            self._lose(culprit, mine if culprit == self.rank else str(told["why"]))
        elif told.get("left") is not None:
            self._lose(rank, f"has ended: {told['left']}")
        elif "left" in told and self.rank == 0:
            self._drop(rank)

    def _drop(self, rank: int) -> None:
        with self._lock:
            self.links.pop(rank).close()

    def _lose(self, rank: int, why: str) -> None:
        """Mark a process as lost, only the first, and inform the others."""
        if self.found.is_set():
            return
        message = f"process {rank} of {len(self.names)} ({self.names[rank]}) {why}"
        self.lost = PeerLostError(Code.PEER_LOST, message, hint=RESUME_HINT)
        self.found.set()
        self._send({"lost": rank, "why": why})

    def _send(self, told: dict[str, object]) -> None:
        line = json.dumps(told).encode() + b"\n"
        with self._lock:
            for link in self.links.values():
                # A full buffer or a closed connection is detected when listening.
                with contextlib.suppress(OSError):
                    link.send(line)

    def _end(self) -> None:
        """End the process, unless it ends by itself."""
        if self.left.wait(GRACE) or self.lost is None:
            return
        for diagnostic in self.lost.diagnostics:
            os.write(2, (render(diagnostic) + "\n").encode())
        os._exit(self.lost.exit_code)


# ------------------------------------------------------------------ connections


def listen(*, near: bool) -> socket.socket:
    """The listening socket of process 0: only on loopback if all processes are on one machine."""
    if near:
        return socket.create_server(("127.0.0.1", 0))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def accept(server: socket.socket, others: int, token: str, seconds: float) -> dict[int, socket.socket]:
    """The connections of the other processes, each of which sends its rank and the token; others are closed.

    Raises TrainingError if some do not connect in time.
    """
    links: dict[int, socket.socket] = {}
    end = time.monotonic() + seconds
    while len(links) < others:
        server.settimeout(max(end - time.monotonic(), 0.001))
        try:
            link, _ = server.accept()
        except TimeoutError:
            missing = sorted(set(range(1, others + 1)) - set(links))
            for link in links.values():
                link.close()
            raise _unreachable(f"processes {missing} have not connected to process 0's heartbeat") from None
        rank = _introduced(link, token)
        if rank is None or rank in links or not 0 < rank <= others:
            link.close()
            continue
        link.setblocking(False)
        links[rank] = link
    return links


def connect(hosts: Sequence[str], port: int, rank: int, token: str, seconds: float) -> dict[int, socket.socket]:
    """A connection to process 0, at the first of the hosts that responds. Raises TrainingError if none does."""
    why = ""
    for host in hosts:
        try:
            link = socket.create_connection((host, port), seconds)
        except OSError as error:
            why = f"{host}:{port}: {error.strerror or error}"
            continue
        link.sendall(f"{rank} {token}\n".encode())  # fits into the buffer of a new connection
        link.setblocking(False)
        return {0: link}
    raise _unreachable(f"process {rank} can't connect to process 0's heartbeat at {why}")


def _introduced(link: socket.socket, token: str) -> int | None:
    """The rank of a connecting process; None for a wrong token."""
    link.settimeout(5.0)
    said = b""
    try:
        while not said.endswith(b"\n") and len(said) < 200:
            data = link.recv(1)
            if not data:
                return None
            said += data
    except OSError:
        return None
    rank, _, key = said.decode("ascii", "replace").strip().partition(" ")
    return int(rank) if rank.isdecimal() and hmac.compare_digest(key.encode(), token.encode()) else None


def _unreachable(message: str) -> TrainingError:
    hint = (
        "allow connections between the machines on any port, which gloo and NCCL need too, or pass --peer-timeout "
        "0 to disable the heartbeat"
    )
    return TrainingError(Code.PEER_LOST, message, hint=hint)
