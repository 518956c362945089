"""The processes of one training: their ranks, connection and collective operations. Loads torch when needed.

Plain data (specs, settings, errors) goes through the key-value store of the rendezvous, so that waiting for a slow
process has no separate timeout. Tensors go through a PyTorch process group. In a process group that the caller has
initialised, both go through that group, which is not destroyed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, NinSpecError, PeerLostError, TrainingError
from nin_spec.training import heartbeat
from nin_spec.training.collectives import Collectives, GroupCollectives, StoreCollectives, connect_store, prefixed
from nin_spec.training.heartbeat import Heartbeat
from nin_spec.training.launch import Launch, agent, find_launch, restarts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PEER_TIMEOUT = 60.0
"""Seconds without a heartbeat after which a process is lost."""


@dataclass(frozen=True)
class World:
    """This process among all.

    `rank` of `size`, the `local`-th of the `neighbours` on its machine. `peers` describe each process, `agents` are
    their launchers. `restarted` is true after a restart by torchrun. `store` is the rendezvous of the process group,
    None in one that the caller has initialised.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    neighbours: int = 1
    peers: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    restarted: bool = False
    collectives: Collectives | None = field(default=None, repr=False, compare=False)
    store: Any = field(default=None, repr=False, compare=False)

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files and reports progress."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in every process."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Process 0's value, in every process; plain data."""
        return value if self.collectives is None else self.collectives.broadcast(value, self.rank)

    def all_gather(self, value: Any) -> list[Any]:
        """All processes' values, by rank, in every process; plain data."""
        return [value] if self.collectives is None else self.collectives.all_gather(value, self.rank, self.size)


@contextmanager
def joined(patience: float = PEER_TIMEOUT) -> Iterator[World]:
    """Connect the processes of this training, watched by a heartbeat with a timeout of `patience` seconds.

    0 disables it. Raises TrainingError if they can't connect, PeerLostError once one is stopped, killed or
    disconnected: at most `patience` seconds later, or 5 more if this process waits in a collective operation and has to
    be ended.
    """
    if _initialised():
        yield _existing()
        return
    launch = find_launch()
    if launch.size == 1:
        agents = (agent(),) if launch.restarts or "TORCHELASTIC_RUN_ID" in os.environ else ()
        yield World(agents=agents, restarted=launch.restarts > 0)
        return
    store = connect_store(launch)
    collectives = StoreCollectives(store)
    world = _introduce(launch, collectives, store)
    beat = _heartbeat(world, launch, patience) if patience else None
    collectives.beat = beat
    with _watched(beat, collectives, world):
        yield world


@contextmanager
def connected(world: World, device: torch.device) -> Iterator[None]:
    """The process group for tensors."""
    if world.size == 1 or world.store is None:
        yield
        return
    import torch
    import torch.distributed as dist

    if device.type == "cuda":
        torch.cuda.set_device(device)  # the interface that NCCL uses
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=prefixed("group", world.store), rank=world.rank, world_size=world.size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def agreed(world: World, *kinds: type[Exception]) -> Iterator[None]:
    """If the block fails in one process, it fails in all.

    Of processes with the same error, only the first reports it, the others raise an error without a message. The block
    may not wait for another process. `kinds` are error types handled in addition to NinSpecError.
    """
    own: Exception | None = None
    caught: tuple[type[Exception], ...] = (NinSpecError, *kinds)
    try:
        yield
    except caught as error:
        own = error
    said = world.all_gather(None if own is None else _gist(own))
    if own is not None:
        raise own if _gist(own) not in said[: world.rank] else TrainingError(())
    if any(word is not None for word in said):
        raise TrainingError(())


def require_same(world: World, asked: dict[str, Any]) -> None:
    """Raise TrainingError if a process was started with different arguments from process 0."""
    said = world.all_gather(asked)
    with agreed(world):
        for rank, other in enumerate(said):
            if different := [key for key, value in other.items() if said[0].get(key) != value]:
                message = f"process {rank} ({world.peers[rank]}) and process 0 differ in {', '.join(different)}"
                hint = "start all with the same command; to train separately in each, set RANK=0 and WORLD_SIZE=1"
                raise TrainingError(Code.RECIPE, message, hint=hint)


def _gist(error: Exception) -> str:
    """The text of an error, without the paths of this process."""
    return "\n".join(d.message for d in error.diagnostics) if isinstance(error, NinSpecError) else str(error)


# ------------------------------------------------------------------ connecting


def _introduce(launch: Launch, collectives: Collectives, store: Any = None) -> World:
    """Exchange the processes' descriptions."""
    own = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "agent": agent(),
        "restarts": launch.restarts,
    }
    said = collectives.all_gather(own, launch.rank, launch.size)
    hosts = [each["host"] for each in said]
    local, neighbours = _neighbours(launch, hosts)
    peers = tuple(f"pid {each['pid']} on {each['host']}" for each in said)
    # The launcher of a caller's group is unknown, and may be torchrun.
    agents = tuple(dict.fromkeys(each["agent"] for each in said)) if launch.by in {"torchrun", ""} else ()
    restarted = any(each["restarts"] > 0 for each in said)
    return World(launch.rank, launch.size, local, neighbours, peers, agents, restarted, collectives, store)


def _neighbours(launch: Launch, hosts: Sequence[str]) -> tuple[int, int]:
    """(rank on this machine, processes on it), by the launcher, or by the machines' names."""
    if launch.local is not None and launch.neighbours is not None:
        return launch.local, launch.neighbours
    host = hosts[launch.rank]
    return hosts[: launch.rank].count(host), hosts.count(host)


def _initialised() -> bool:
    """Whether the caller has a process group. Does not load torch."""
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized()


def _existing() -> World:
    """The processes of an existing group, which the caller destroys."""
    import torch.distributed as dist

    rank, size = dist.get_rank(), dist.get_world_size()
    if size == 1:
        return World()
    return _introduce(Launch(rank, size, restarts=restarts(os.environ)), GroupCollectives())


# ------------------------------------------------------------------ watching


def _heartbeat(world: World, launch: Launch, patience: float) -> Heartbeat:
    """A heartbeat between process 0 and the others. Raises TrainingError if they can't connect."""
    limit, near = max(patience, 10.0), launch.neighbours == launch.size
    if world.is_main:
        with heartbeat.listen(near=near) as server:
            token = secrets.token_hex(16)
            world.broadcast({"host": socket.gethostname(), "port": server.getsockname()[1], "token": token})
            links = heartbeat.accept(server, world.size - 1, token, limit)
    else:
        at = world.broadcast(None)
        hosts = ("127.0.0.1",) if near else (launch.address, at["host"])
        links = heartbeat.connect(hosts, at["port"], world.rank, at["token"], limit)
    return Heartbeat(world.rank, world.peers, links, patience)


@contextmanager
def _watched(beat: Heartbeat | None, collectives: StoreCollectives, world: World) -> Iterator[None]:
    """Run until all have left; PyTorch's errors about a lost peer become an error that names the peer."""
    reason: str | None = "it stopped before its end"
    try:
        yield
        reason = None
    except NinSpecError as error:
        reason = _gist(error).partition("\n")[0] or "another process has an error"
        raise
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if not _of_peers(error):
            raise
        raise _explained(error, beat) from None
    finally:
        if beat is not None:
            beat.leave(reason)
        else:
            _await_others(collectives, world)


def _of_peers(error: RuntimeError) -> bool:
    """Whether an error is about the connection to other processes."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL", "Connection"))


def _explained(error: RuntimeError, beat: Heartbeat | None) -> PeerLostError:
    """The same error, naming the lost process, which the heartbeat detects before or soon after."""
    if beat is not None and beat.found.wait(beat.patience + heartbeat.GRACE) and beat.lost is not None:
        return beat.lost
    message = f"the processes can't reach each other: {str(error).partition(chr(10))[0]}"
    return PeerLostError(Code.PEER_LOST, message, hint=heartbeat.RESUME_HINT)


def _await_others(collectives: StoreCollectives, world: World) -> None:
    """Without a heartbeat: process 0 keeps its store until the others have left, at most half a minute."""
    collectives.store.set(f"left/{world.rank}", "")
    if world.is_main:
        end = time.monotonic() + 30
        with contextlib.suppress(TimeoutError):
            for rank in range(1, world.size):
                collectives.receive(f"left/{rank}", end)
