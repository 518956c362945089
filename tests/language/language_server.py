"""The yaml-language-server that editors run, driven as they drive it: JSON-RPC over its standard input and output."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

VARIABLE = "NIN_SPEC_YAML_LS"
_SETTINGS = {"hover": True, "completion": True, "validate": True, "schemaStore": {"enable": False}}
_MARKDOWN = {"hover": {"contentFormat": ["markdown"]}}
Json = dict[str, Any]


def program() -> list[str] | None:
    """How the server is started: what the variable names, else what is on the path; None where there is none."""
    path = os.environ.get(VARIABLE) or shutil.which("yaml-language-server")
    return [path, "--stdio"] if path else None


class LanguageServer:
    """One running server. Files are opened under names of their own, and exist nowhere."""

    def __init__(self, command: list[str], schema: Path) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.schema, self.ids, self.names = schema, itertools.count(1), itertools.count()
        self.found: dict[str, list[Json]] = {}

    def __enter__(self) -> Self:
        self.call("initialize", {"processId": None, "rootUri": None, "capabilities": {"textDocument": _MARKDOWN}})
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": {"yaml": _SETTINGS}})
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def open(self, text: str) -> tuple[str, list[Json]]:
        """A file with this text, below the line that names the schema; what the server underlines in it."""
        uri = f"file:///specs/{next(self.names)}.yaml"
        text = f"# yaml-language-server: $schema={self.schema.as_uri()}\n{text}"
        item = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": item})
        while uri not in self.found:
            self._take(self._receive())
        return uri, self.found[uri]

    def complete(self, text: str) -> dict[str, Json]:
        """What is proposed at the mark `|`, by label."""
        answer = self._at_mark("textDocument/completion", text)
        return {item["label"]: item for item in answer["items"]}

    def hover(self, text: str) -> str:
        """The Markdown shown at the mark `|`."""
        shown: str = self._at_mark("textDocument/hover", text)["contents"]["value"]
        return shown

    def _at_mark(self, method: str, text: str) -> Any:
        before, _, after = text.partition("|")
        uri, _ = self.open(before + after)
        position = {"line": before.count("\n") + 1, "character": len(before.rpartition("\n")[2])}
        return self.call(method, {"textDocument": {"uri": uri}, "position": position})

    def call(self, method: str, parameters: Json) -> Any:
        """The answer to a request."""
        identity = next(self.ids)
        self._send({"id": identity, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == identity and "method" not in message:
                return message["result"]
            self._take(message)

    def tell(self, method: str, parameters: Json) -> None:
        """A notification."""
        self._send({"method": method, "params": parameters})

    def _take(self, message: Json) -> None:
        """What the server says or asks of itself."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self.found[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _receive(self) -> Json:
        out = self.process.stdout
        assert out is not None
        length = 0
        while line := out.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the language server has ended"
        message: Json = json.loads(out.read(length))
        return message
