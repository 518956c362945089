"""Words between the processes of a training: plain data, through a key-value store or the caller's process group."""

from __future__ import annotations

import itertools
import json
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
    """How words pass between processes."""

    def words(self, value: Any, rank: int, size: int) -> list[Any]:
        """What each process says, in each; values are plain data."""

    def word(self, value: Any, rank: int) -> Any:
        """What process 0 says, in each."""


class MissingError(Exception):
    """Processes that have not said anything in time."""

    def __init__(self, ranks: list[int]) -> None:
        super().__init__(str(ranks))
        self.ranks = ranks


class StoreTalk:
    """Through a key-value store: each call has a number, which all processes count alike."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.beat: Heartbeat | None = None
        self._calls = itertools.count()

    def words(self, value: Any, rank: int, size: int, end: float | None = None) -> list[Any]:
        call = next(self._calls)
        self.store.set(f"{call}/{rank}", json.dumps(value))
        found = {other: self.hear(f"{call}/{other}", end) for other in range(size)}
        missing = [other for other, word in found.items() if word is None]
        if missing:
            raise MissingError(missing)
        return [json.loads(word or b"null") for word in found.values()]

    def word(self, value: Any, rank: int) -> Any:
        call = next(self._calls)
        if rank == 0:
            self.store.set(f"{call}/0", json.dumps(value))
            return value
        return json.loads(self.hear(f"{call}/0", None) or b"null")

    def hear(self, key: str, end: float | None) -> bytes | None:
        """A value, waited for; None when it has not come by `end`. Raises PeerLostError when it never will."""
        pause = 0.001
        while not self.store.check([key]):
            if self.beat is not None and self.beat.lost is not None:
                raise self.beat.lost
            if end is not None and time.monotonic() > end:
                return None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return bytes(self.store.get(key))


class GroupTalk:
    """Through a process group of the caller's."""

    def words(self, value: Any, rank: int, size: int) -> list[Any]:
        import torch.distributed as dist

        said: list[Any] = [None] * size
        dist.all_gather_object(said, value)
        return said

    def word(self, value: Any, rank: int) -> Any:
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def meet(launch: Launch) -> Any:
    """The store of this training, apart from that of others. Raises TrainingError where there is none to be had."""
    dist = _distributed()
    try:
        return dist.PrefixStore(f"nin_spec/{launch.job}/{next(_meetings)}", _open_store(launch))
    except (dist.DistError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        message = f"process {launch.rank} of {launch.size} ({launch.by}) can't meet the others at {launch.place}: {why}"
        hint = "set MASTER_ADDR to a name of process 0's machine that all resolve, and MASTER_PORT to a free port of it"
        raise TrainingError(Diagnostic(Code.PEER_LOST, message, hint=hint)) from None


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
