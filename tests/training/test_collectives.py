"""What a process sent before it left is received; only what will never come is an error."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nin_spec.diagnostics import Code, PeerLostError
from nin_spec.training.collectives import StoreCollectives

LOST = PeerLostError(Code.PEER_LOST, "process 0 of 2 (pid 1 on a) has ended: nowhere: it does not exist")


class LateStore(dict[str, bytes]):
    """A store in which process 0's value arrives just after it was first asked for, and process 0 is lost by then."""

    def __init__(self, beat: SimpleNamespace, *, sends: bool) -> None:
        super().__init__()
        self.beat, self.sends = beat, sends

    def set(self, key: str, value: str) -> None:
        """Store a value."""
        self[key] = value.encode()

    def check(self, keys: list[str]) -> bool:
        """Whether all are there."""
        found = all(key in self for key in keys)
        if self.sends:
            self.set("0/0", '"its error"')
        self.beat.lost = LOST
        return found


def collectives(*, sends: bool) -> StoreCollectives:
    """Those of process 1."""
    beat = SimpleNamespace(lost=None)
    made = StoreCollectives(LateStore(beat, sends=sends))
    made.beat = beat  # type: ignore[assignment]
    return made


def test_what_a_process_sent_before_it_ended_with_an_error_is_received() -> None:
    """So that both raise their own error, of which one is reported: none names the other as the cause of its end."""
    assert collectives(sends=True).all_gather("mine", 1, 2) == ["its error", "mine"]


def test_what_a_lost_process_never_sent_is_an_error() -> None:
    with pytest.raises(PeerLostError, match="process 0 of 2"):
        collectives(sends=False).broadcast(None, 1)
