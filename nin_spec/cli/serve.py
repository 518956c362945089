"""nin-spec serve."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import device_options, tell, threads_option
from nin_spec.diagnostics import Code, InputError
from nin_spec.extras import require

TOKEN = "NIN_SPEC_TOKEN"  # noqa: S105 the variable's name


@click.command("serve", cls=Command)
@click.argument("models", metavar="MODEL.onnx|RUNDIR...", nargs=-1, required=True, shell_complete=completing.models)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    metavar="N",
    help="HTTP port; 0: a free one.",
)
@click.option(
    "--grpc-port", type=click.IntRange(0, 65535), metavar="N", help="Also serve gRPC on this port; 0 for any."
)
@device_options
@threads_option
@click.option(
    "--max-batch", type=click.IntRange(1, 65536), metavar="N", default=32, show_default=True, help="Rows in a batch."
)
@click.option(
    "--max-delay",
    type=click.FloatRange(0, 10_000),
    default=0.0,
    metavar="MS",
    help="Milliseconds to wait for a full batch while the model is busy.  [default: 0]",
)
@click.option(
    "--max-queue",
    type=click.IntRange(1),
    metavar="N",
    default=256,
    show_default=True,
    help="Rows that may wait in the queue.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.001),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds that a request may wait in the queue.",
)
@click.option(
    "--read-timeout",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds within which a request must arrive.",
)
@click.option(
    "--drain",
    type=click.FloatRange(0),
    default=25.0,
    show_default=True,
    metavar="S",
    help="Seconds for open requests to finish after SIGTERM; Kubernetes allows 30 in all.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    metavar="MIB",
    help="Largest request body in MiB, before and after decompression.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    shell_complete=completing.files,
    help=f"Require the bearer token in FILE, or the one in the environment variable {TOKEN}.",
)
@click.option(
    "--allow-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A host name to accept in requests, for example that of a proxy; may be repeated.  [default: this machine's "
    "names and addresses, or any name if --host is not on loopback]",
)
@click.option("--insecure", is_flag=True, help="Accept requests from other machines without a token.")
@click.option(
    "--reload", is_flag=True, help="Reload a model when its file changes and the new one runs; SIGHUP reloads too."
)
def serve_command(
    models: tuple[str, ...],
    host: str,
    port: int,
    grpc_port: int | None,
    device: str,
    options: dict[str, str],
    threads: int | None,
    max_batch: int,
    max_delay: float,
    max_queue: int,
    timeout: float,
    read_timeout: float,
    drain: float,
    max_body: int,
    token_file: str | None,
    hosts: tuple[str, ...],
    insecure: bool,
    reload: bool,
) -> None:
    """Serve models over the Open Inference Protocol v2.

    MODEL.onnx is an exported model, RUNDIR the model of a run. REST is always served, gRPC with --grpc-port.

    \b
      nin-spec serve digits.onnx                            http://127.0.0.1:8000, with a page to try it
      nin-spec serve cat=a.onnx dog=b.onnx dog:2=c.onnx     with your own names and versions
      curl --data-binary @photo.jpg 'localhost:8000/v2/models/cat/classify?top=3'
      curl -H "Authorization: Bearer $TOKEN" localhost:8000/v2/models/dog/versions/1

    The default name is that of the spec. A request without a version goes to the highest. /v2/models lists the models,
    and /openapi.json describes the endpoints.

    Clients of the protocol, for example tritonclient and KServe's, work unchanged. SIGTERM lets open requests finish,
    then stops the server.
    """
    require("uvicorn", "httptools", "orjson", "starlette", purpose="serving", extra="serve")
    if grpc_port is not None:
        require("grpc", "google.protobuf", purpose="serving over gRPC", extra="grpc")
    token = _token(token_file)
    _check_exposure(host, token, insecure=insecure)
    from nin_spec.serving.logs import log_to_stderr
    from nin_spec.serving.models import Choice, open_all, parse_source
    from nin_spec.serving.server import Settings, serve

    log_to_stderr()
    choice = Choice(device, threads, max_batch, max_delay / 1000, max_queue, options)
    _check_ports(host, port, grpc_port)
    opened = open_all([parse_source(text) for text in models], choice)
    settings = Settings(
        host=host,
        port=port,
        timeout=timeout,
        read_timeout=read_timeout,
        drain=drain,
        body=max_body << 20,
        memory=max(256, 4 * max_body) << 20,
        token=token,
        reload=1.0 if reload else None,
        grpc_port=grpc_port,
        hosts=hosts,
    )
    names = ", ".join(f"{m.name}:{m.source.version}" for m in opened)
    serve(opened, choice, settings, lambda address: tell([f"serving {names} on {address}"]))


def _check_ports(host: str, port: int, grpc_port: int | None) -> None:
    """Checks before models are loaded: a port in use. Raises InputError."""
    import socket

    if port and port == grpc_port:
        message = f"--port and --grpc-port are both {port}"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="REST and gRPC need different ports")
    for number, option in ((port, "--port"), (grpc_port, "--grpc-port")):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            if number is not None:
                socket.create_server((host, number), family=family).close()
        except OSError as error:
            message = f"can't listen on {host}:{number}: {error.strerror or error}"
            raise InputError(Code.SERVE_UNUSABLE, message, hint=f"pass another {option} or --host") from None


def _token(path: str | None) -> bytes | None:
    """The token of the file, else of the environment, else none. Raises InputError."""
    if path is None:
        text = os.environ.get(TOKEN, "")
        return _one_token(TOKEN, os.fsencode(text)) if text.strip() else None
    try:
        return _one_token(path, Path(path).read_bytes())
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="pass a file that holds one line") from None


def _one_token(source: str, content: bytes) -> bytes:
    """The token of a file or variable. Raises InputError for none, and for more lines: no client could send them."""
    token = content.strip()
    if not token or b"\n" in token:
        message = f"{source} must hold exactly one token"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="write one line, for example with `openssl rand -hex 32`")
    return token


def _check_exposure(host: str, token: bytes | None, *, insecure: bool) -> None:
    """Require a token for requests from other machines, unless --insecure is set."""
    if host in {"127.0.0.1", "::1", "localhost"} or token or insecure:
        return
    message = f"{host} can be reached from other machines, and anyone could send requests"
    hint = f"pass --token-file FILE (or set {TOKEN}), or pass --insecure; see `nin-spec guide serving`"
    raise InputError(Code.SERVE_UNUSABLE, message, hint=hint)
