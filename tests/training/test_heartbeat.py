"""A process that is stopped, killed, cut off or ended by an error is noticed by all others, which name it."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from ranks import announced, free_port, together
from small_parts import small_spec
from warm import Running

from nin_spec.diagnostics import PeerLostError, TrainingError
from nin_spec.training import heartbeat
from nin_spec.training.heartbeat import Heartbeat

NAMES = ("pid 1 on a", "pid 2 on b", "pid 3 on c")


class Ring:
    """Process 0 with a heartbeat, and the other ends of its connections to 1 and 2."""

    def __init__(self, patience: float) -> None:
        pairs = {rank: socket.socketpair() for rank in (1, 2)}
        self.far = {rank: pair[1] for rank, pair in pairs.items()}
        for near, _ in pairs.values():
            near.setblocking(False)
        self.beat = Heartbeat(0, NAMES, {rank: pair[0] for rank, pair in pairs.items()}, patience)

    def say(self, rank: int, **told: object) -> None:
        """A line from a process."""
        self.far[rank].sendall(json.dumps(told).encode() + b"\n")

    def hears(self, rank: int) -> list[dict[str, object]]:
        """What a process receives until the connection ends or nothing comes."""
        self.far[rank].settimeout(0.5)
        data = b""
        with suppress(TimeoutError):
            while more := self.far[rank].recv(4096):
                data += more
        return [json.loads(line) for line in data.splitlines()]

    def close(self) -> None:
        """All leave."""
        for far in self.far.values():
            far.close()
        self.beat.leave(None)


@pytest.fixture
def ring() -> Iterator[Ring]:
    """Patient, so that only what happens counts."""
    with closing(Ring(300)) as made:
        yield made


def lost(ring: Ring) -> str:
    """The error of the process that is found lost."""
    assert ring.beat.found.wait(60)
    assert ring.beat.lost is not None
    return ring.beat.lost.diagnostics[0].message


def test_a_connection_that_ends_without_farewell_is_a_crash_and_all_are_informed(ring: Ring) -> None:
    ring.far[2].close()
    assert lost(ring).startswith("process 2 of 3 (pid 3 on c) was killed or has crashed")
    assert {"lost": 2, "why": "was killed or has crashed: its connection is closed"} in ring.hears(1)


def test_an_error_of_a_process_is_sent_to_all(ring: Ring) -> None:
    ring.say(1, left="photo.jpg is damaged")
    assert lost(ring) == "process 1 of 3 (pid 2 on b) has ended: photo.jpg is damaged"


def test_who_says_farewell_is_not_lost(ring: Ring) -> None:
    for rank in (1, 2):
        ring.say(rank, left=None)
    ring.beat.leave(None)
    assert ring.beat.lost is None


def test_process_0_stays_until_the_others_have_left(ring: Ring) -> None:
    """It holds the store that they read from."""
    leaving = threading.Thread(target=ring.beat.leave, args=(None,))
    leaving.start()
    ring.say(1, left=None)
    leaving.join(0.6)
    assert leaving.is_alive()
    ring.say(2, left=None)
    leaving.join(60)
    assert not leaving.is_alive()
    assert ring.beat.lost is None


def test_silence_is_found_after_the_patience_and_no_sooner_than_what_has_come_is_read() -> None:
    """Process 1 beats on, 2 has stopped."""
    with closing(Ring(3.0)) as ring:
        while not ring.beat.found.wait(0.1):
            ring.say(1, beat=True)
        assert lost(ring).startswith("process 2 of 3 (pid 3 on c) has not sent a heartbeat for 3 s: it is stopped")


def test_strangers_are_dropped_and_process_0_says_who_is_missing() -> None:
    with heartbeat.listen(near=True) as server:
        port = server.getsockname()[1]
        strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        strangers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        strangers[1].sendall(b"2 wrong\n")
        strangers[2].close()
        own = heartbeat.connect(("127.0.0.1",), port, 1, "token", 5)
        with pytest.raises(TrainingError, match=r"processes \[2\] have not connected"):
            heartbeat.accept(server, 2, "token", 1)
        for link in (*strangers, *own.values()):
            link.close()


def test_a_heartbeat_that_can_t_be_reached_is_refused_with_a_fix() -> None:
    with pytest.raises(TrainingError, match="process 1 can't connect to process 0's heartbeat") as caught:
        heartbeat.connect(("127.0.0.1",), free_port(), 1, "token", 5)
    assert "--peer-timeout 0" in str(caught.value)


# ------------------------------------------------------------------ real processes


@pytest.fixture
def gang(tmp_path: Path) -> Iterator[list[Running]]:
    """Two processes in the midst of a long training."""
    spec = small_spec(tmp_path)
    port = free_port()
    run = ("train", str(spec), "-o", "run", "--threads", "1", "--set", "train.epochs=100000")
    command = (*run, "--peer-timeout", "6")
    with together(tmp_path, [command, command], announced(0, 2, port), announced(1, 2, port)) as processes:
        assert processes[0].stdout.readline().startswith("epoch")
        yield processes


@pytest.mark.parametrize(
    ("number", "victim", "words"),
    [
        (signal.SIGSTOP, 1, "has not sent a heartbeat for 6 s: it is stopped, hung or disconnected"),
        (signal.SIGKILL, 0, "was killed or has crashed"),
        pytest.param(
            signal.SIGSTOP,
            0,
            "has not sent a heartbeat for 6 s: it is stopped, hung or disconnected",
            marks=pytest.mark.long,
        ),
        pytest.param(signal.SIGKILL, 1, "was killed or has crashed", marks=pytest.mark.long),
    ],
)
def test_the_survivor_names_the_process_and_its_machine(
    gang: list[Running], number: signal.Signals, victim: int, words: str
) -> None:
    """SIGSTOP leaves every connection open, and the other waiting in a collective operation."""
    gang[victim].send_signal(number)
    _, said = gang[1 - victim].communicate(timeout=120)
    assert gang[1 - victim].returncode == PeerLostError.exit_code
    name = f"error NIN814: process {victim} of 2 (pid {gang[victim].pid} on {socket.gethostname()}) {words}"
    assert said.count(name) == 1, said
    assert "Traceback" not in said
    assert "--resume" in said
