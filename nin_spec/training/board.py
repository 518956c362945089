"""The rows of metrics.csv for TensorBoard, written after each epoch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nin_spec.extras import need
from nin_spec.training.reporter import Row


class Board:
    """Scalars by epoch, in one event file that is readable after each epoch.

    A resumed run rewrites its history from `rows`, the epochs done: the scalars of epochs after the checkpoint are
    dropped, also in an open TensorBoard. A write error, for example on a full disk, is reported once through `log`, and
    training continues without it.
    """

    def __init__(self, folder: Path, rows: Iterable[Row], tell: Callable[[str], None]) -> None:
        self.folder, self.tell = folder, tell
        self.events = need("tensorboardX.proto.event_pb2", "training")
        self.scalar = need("tensorboardX.summary", "training").scalar
        self.writer: Any = None
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
            folder.mkdir()
            # Not the SummaryWriter, whose thread writes later, and waits forever once the disk is full.
            self.writer = need("tensorboardX.event_file_writer", "training").EventsWriter(str(folder / "events"))
            start = self.events.SessionLog(status=self.events.SessionLog.START)
            self.writer.write_event(self.events.Event(wall_time=time.time(), step=1, session_log=start))
        except OSError as error:
            self._give_up(error)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """The row of an epoch."""
        if self.writer is None:
            return
        try:
            for key, value in row.items():
                if key not in {"epoch", "step"}:
                    summary = self.scalar(key.replace("_", "/", 1), value)
                    event = self.events.Event(wall_time=time.time(), step=int(row["epoch"]), summary=summary)
                    self.writer.write_event(event)
            self.writer.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        if self.writer is None:
            return
        try:
            self.writer.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.writer = None
        self.tell(f"{self.folder} is no longer written: {error.strerror or error}")
