"""Collective operations on plain data, through a key-value store or the caller's process group."""

from __future__ import annotations

import itertools
import json
import math
import secrets
import time
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from nin_spec.diagnostics import Code, PeerLostError, TrainingError
from nin_spec.training.launch import Launch

if TYPE_CHECKING:
    from nin_spec.training.heartbeat import Heartbeat

MEET_SECONDS = 600.0
"""Seconds to wait for the last process to start."""

_meetings = itertools.count()
"""Distinguishes trainings of the same process; all processes count in the same way."""


class Collectives(Protocol):
    """Collective operations on plain data."""

    def all_gather(self, value: Any, rank: int, size: int) -> list[Any]:
        """All processes' values, by rank; values are plain data."""

    def broadcast(self, value: Any, rank: int) -> Any:
        """Process 0's value, in every process."""


class StoreCollectives:
    """Through a key-value store: each call has a number that all processes count in the same way."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.beat: Heartbeat | None = None
        self._calls = itertools.count()

    def all_gather(self, value: Any, rank: int, size: int) -> list[Any]:
        call = next(self._calls)
        self.store.set(f"{call}/{rank}", json.dumps(value))
        return [json.loads(self.receive(f"{call}/{other}")) for other in range(size)]

    def broadcast(self, value: Any, rank: int) -> Any:
        call = next(self._calls)
        if rank == 0:
            self.store.set(f"{call}/0", json.dumps(value))
            return value
        return json.loads(self.receive(f"{call}/0"))

    @property
    def lost(self) -> PeerLostError | None:
        """The error once a process is lost."""
        return None if self.beat is None else self.beat.lost

    def receive(self, key: str, end: float = math.inf) -> bytes:
        """Wait for a value until `end`. Raises PeerLostError if its sender is lost, TimeoutError past the end."""
        pause = 0.001
        while not self.store.check([key]):
            if (lost := self.lost) is not None:
                if self.store.check([key]):  # sent before its sender, or another process, ended with an error
                    break
                raise lost
            if time.monotonic() > end:
                raise TimeoutError(key)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return bytes(self.store.get(key))


class GroupCollectives:
    """Through the caller's process group."""

    def all_gather(self, value: Any, rank: int, size: int) -> list[Any]:
        import torch.distributed as dist

        said: list[Any] = [None] * size
        dist.all_gather_object(said, value)
        return said

    def broadcast(self, value: Any, rank: int) -> Any:
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def connect_store(launch: Launch) -> Any:
    """The key-value store of this training. Raises TrainingError if the processes can't connect."""
    dist = _distributed()
    end = time.monotonic() + MEET_SECONDS
    try:
        store = prefixed(f"nin_spec/{launch.job}/{next(_meetings)}", _open_store(launch))
        return prefixed(_gather(store, launch, end) if launch.rank == 0 else _report(store, launch, end), store)
    except (dist.DistError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        hint = (
            "set MASTER_ADDR to a host name of process 0's machine that all can resolve, and MASTER_PORT to a "
            "free port there"
        )
    except TimeoutError as error:
        why = f"{error} did not start within {MEET_SECONDS / 60:g} minutes"
        hint = "start all of them; to train in this process alone, set RANK=0 and WORLD_SIZE=1"
    message = (
        f"process {launch.rank} of {launch.size} ({launch.by}) can't connect to the others at "
        f"{launch.rendezvous}: {why}"
    )
    raise TrainingError(Code.PEER_LOST, message, hint=hint)


def _gather(store: Any, launch: Launch, end: float) -> str:
    """A new name for this rendezvous, sent to each process that reports, until all have it.

    torchrun's store outlives restarted processes, and still has the keys of their predecessors.
    """
    name = secrets.token_hex(8)
    missing, answered = set(range(1, launch.size)), set[bytes]()
    while missing:
        for rank in sorted(missing):
            if store.check([f"report/{rank}"]) and (report := bytes(store.get(f"report/{rank}"))) not in answered:
                store.set(f"answer/{report.decode()}", name)
                answered.add(report)
            if store.check([f"{name}/{rank}"]):
                missing.discard(rank)
        if missing and time.monotonic() > end:
            raise TimeoutError(f"processes {sorted(missing)}")
        time.sleep(0.02)
    return name


def _report(store: Any, launch: Launch, end: float) -> str:
    """Process 0's response to this process's report, under a key that is never reused."""
    report = secrets.token_hex(8)
    store.set(f"report/{launch.rank}", report)
    try:
        name = StoreCollectives(store).receive(f"answer/{report}", end).decode()
    except TimeoutError:
        raise TimeoutError("process 0") from None
    store.set(f"{name}/{launch.rank}", "")
    return name


@lru_cache
def _open_store(launch: Launch) -> Any:
    """Once per process: the store of a previous training may still be open."""
    dist = _distributed()
    limit = timedelta(seconds=MEET_SECONDS)
    if launch.by == "torchrun":  # which may have its own store
        store, _, _ = next(dist.rendezvous("env://", launch.rank, launch.size, timeout=limit))
        return store
    leads = launch.rank == 0
    return dist.TCPStore(launch.address, launch.port, launch.size, leads, limit, wait_for_workers=False)


def prefixed(name: str, store: Any) -> Any:
    """A store with prefixed keys."""
    return _distributed().PrefixStore(name, store)


def _distributed() -> Any:
    """torch.distributed, untyped."""
    import torch.distributed as dist

    return dist
