"""Plain data between the processes of a training, through a key-value store or the caller's process group."""

from __future__ import annotations

import itertools
import json
import math
import secrets
import time
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from nin_spec.diagnostics import Code, Diagnostic, TrainingError
from nin_spec.training.launch import Launch

if TYPE_CHECKING:
    from nin_spec.training.heartbeat import Heartbeat

MEET_SECONDS = 600.0
"""How long the processes wait for the last of them to start."""

_meetings = itertools.count()
"""Tells one training from the next of the same process: all processes count alike."""


class Talk(Protocol):
    """How plain data passes between processes."""

    def all_gather(self, value: Any, rank: int, size: int) -> list[Any]:
        """The values of all processes, by rank, in each; values are plain data."""

    def broadcast(self, value: Any, rank: int) -> Any:
        """Process 0's value, in each."""


class StoreTalk:
    """Through a key-value store: each call has a number, which all processes count alike."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.beat: Heartbeat | None = None
        self._calls = itertools.count()

    def all_gather(self, value: Any, rank: int, size: int) -> list[Any]:
        call = next(self._calls)
        self.store.set(f"{call}/{rank}", json.dumps(value))
        return [json.loads(self.hear(f"{call}/{other}")) for other in range(size)]

    def broadcast(self, value: Any, rank: int) -> Any:
        call = next(self._calls)
        if rank == 0:
            self.store.set(f"{call}/0", json.dumps(value))
            return value
        return json.loads(self.hear(f"{call}/0"))

    def hear(self, key: str, end: float = math.inf) -> bytes:
        """A value, waited for until `end`. Raises PeerLostError when it never comes, TimeoutError past the end."""
        pause = 0.001
        while not self.store.check([key]):
            if self.beat is not None and self.beat.lost is not None:
                raise self.beat.lost
            if time.monotonic() > end:
                raise TimeoutError(key)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return bytes(self.store.get(key))


class GroupTalk:
    """Through a process group of the caller's."""

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


def meet(launch: Launch) -> Any:
    """The store of this training, apart from that of others. Raises TrainingError where there is none to be had."""
    dist = _distributed()
    end = time.monotonic() + MEET_SECONDS
    try:
        store = prefixed(f"nin_spec/{launch.job}/{next(_meetings)}", _open_store(launch))
        return prefixed(_gather(store, launch, end) if launch.rank == 0 else _report(store, launch, end), store)
    except (dist.DistError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        hint = "set MASTER_ADDR to a name of process 0's machine that all resolve, and MASTER_PORT to a free port there"
    except TimeoutError as error:
        why = f"{error} did not start within {MEET_SECONDS / 60:g} minutes"
        hint = "start all of them; to train in this process alone, set RANK=0 and WORLD_SIZE=1"
    message = f"process {launch.rank} of {launch.size} ({launch.by}) can't meet the others at {launch.place}: {why}"
    raise TrainingError(Diagnostic(Code.PEER_LOST, message, hint=hint))


def _gather(store: Any, launch: Launch, end: float) -> str:
    """A new name for this meeting, told to each that reports, until all have it.

    A store of torchrun's own outlives processes that are restarted, and still holds what those before them wrote.
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
    """The name that process 0 answers to this process's report, which nobody can have answered before."""
    report = secrets.token_hex(8)
    store.set(f"report/{launch.rank}", report)
    try:
        name = StoreTalk(store).hear(f"answer/{report}", end).decode()
    except TimeoutError:
        raise TimeoutError("process 0") from None
    store.set(f"{name}/{launch.rank}", "")
    return name


@lru_cache
def _open_store(launch: Launch) -> Any:
    """Once for each process: what a second training would open again may not be closed yet."""
    dist = _distributed()
    limit = timedelta(seconds=MEET_SECONDS)
    if launch.by == "torchrun":  # which may have a store of its own
        store, _, _ = next(dist.rendezvous("env://", launch.rank, launch.size, timeout=limit))
        return store
    leads = launch.rank == 0
    return dist.TCPStore(launch.address, launch.port, launch.size, leads, limit, wait_for_workers=False)


def prefixed(name: str, store: Any) -> Any:
    """A part of a store, with keys of its own."""
    return _distributed().PrefixStore(name, store)


def _distributed() -> Any:
    """torch.distributed, not all of whose names are typed."""
    import torch.distributed as dist

    return dist
