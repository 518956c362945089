"""The studio with a slow server: each message that comes or goes stops the whole process for a while.

python -P slow_studio.py SECONDS ARGUMENTS...      the rest as for `nin-spec studio`
"""

from __future__ import annotations

import sys
import time
from typing import Any

from nin_spec.cli import main
from nin_spec.studio.guard import Guard


def slow_down(seconds: float) -> None:
    """From now on; only once the page stands, so that it is opened in time."""
    ask = Guard.__call__

    async def slow(self: Guard, scope: Any, receive: Any, send: Any) -> None:
        late = scope["type"] == "websocket" or scope.get("path") == "/studio/typed"

        async def slow_receive() -> Any:
            message = await receive()
            time.sleep(seconds * late)  # noqa: ASYNC251 nothing else shall run meanwhile
            return message

        async def slow_send(message: Any) -> None:
            time.sleep(seconds * late)  # noqa: ASYNC251 nothing else shall run meanwhile
            await send(message)

        await ask(self, scope, slow_receive, slow_send)

    Guard.__call__ = slow  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    main(["studio", *sys.argv[2:]])
