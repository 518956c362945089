"""TensorBoard's events are there while a training runs, and each epoch once, however often it was resumed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_parts import small_network
from tensorboardX.proto.event_pb2 import Event, SessionLog

from nin_spec.training.begin import resume, train
from nin_spec.training.board import Board
from nin_spec.training.folder import read_rows
from nin_spec.training.reporter import Pace, Row, Silent
from nin_spec.training.settings import TrainSettings

ONE = TrainSettings(threads=1)


def events(folder: Path) -> Iterator[Event]:
    """The events of all files, whole ones only: each is a length, its checksum, the event, its checksum."""
    for file in sorted((folder / "tensorboard").iterdir()):
        data, at = file.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event()
            event.ParseFromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            yield event


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, epoch and value of each."""
    return [(value.tag, event.step, value.simple_value) for event in events(folder) for value in event.summary.value]


def expected(folder: Path) -> list[tuple[str, int, object]]:
    """The same, of metrics.csv."""
    return [
        (key.replace("_", "/", 1), int(row["epoch"]), pytest.approx(value, rel=1e-6))
        for row in read_rows(folder / "metrics.csv")
        for key, value in row.items()
        if key not in {"epoch", "step"}
    ]


class Reader(Silent):
    """Reads the events after each epoch, as TensorBoard would; ends the training hard after the first, if asked to."""

    def __init__(self, folder: Path, *, breaks: bool = False) -> None:
        self.folder, self.breaks = folder, breaks
        self.seen: list[set[int]] = []

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """The epoch's events are in the file."""
        self.seen.append({epoch for _, epoch, _ in scalars(self.folder)})
        if self.breaks:
            raise KeyboardInterrupt


def test_each_epoch_can_be_read_when_it_ends(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "run")
    train(small_network(), output=reader.folder, settings=ONE, reporter=reader)
    assert reader.seen == [{1}, {1, 2}]
    assert scalars(reader.folder) == expected(reader.folder)


def test_a_resumed_run_has_each_epoch_once(tmp_path: Path) -> None:
    """Killed after an epoch whose checkpoint was not written yet, so that the epoch is trained again."""
    reader = Reader(tmp_path / "run", breaks=True)
    with pytest.raises(KeyboardInterrupt):
        train(small_network(), output=reader.folder, settings=ONE, reporter=reader)
    assert reader.seen == [{1}]
    again = Reader(reader.folder)
    resume(reader.folder, reporter=again)
    assert again.seen == [{1}, {1, 2}]
    assert scalars(reader.folder) == expected(reader.folder)
    starts = [event for event in events(reader.folder) if event.session_log.status == SessionLog.START]
    assert [event.step for event in starts] == [1]  # an open TensorBoard forgets what it has read


def test_a_log_that_can_t_be_written_is_reported_once_and_stops_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "file").write_text("")
    board = Board(tmp_path / "file" / "log", [{"epoch": 1, "lr": 0.1}], told.append)
    board.add({"epoch": 2, "lr": 0.1})
    board.close()
    assert told == [f"{tmp_path / 'file' / 'log'} is no longer written: Not a directory"]
