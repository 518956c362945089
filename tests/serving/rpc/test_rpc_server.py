"""gRPC in the server as people run it: its signals, its token, its limits, and how long a call waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from exposition import check_exposition
from hosted_server import hosted
from rpc_service import MIB, call, request
from server_process import Process, ask, bare_scores, model_file, running, until

from nin_spec.serving.grpc.proto import messages as pb

X = np.random.default_rng(5).normal(size=(1, 3, 8, 8)).astype(np.float32)


def asking(x: Any = X, **more: Any) -> Any:
    """A request for the scores of the small model."""
    return request(x, model_name="small", **more)


def waiting_for(microseconds: int) -> Any:
    """The same, that says how long it waits."""
    return asking(parameters={"timeout": pb.InferParameter(int64_param=microseconds)})


@contextmanager
def channel_to(port: int) -> Iterator[Any]:
    """A client of a server, of the plain kind."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def refusal(channel: Any, message: Any, **how: Any) -> Any:
    """The error that an inference ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(channel)(message, timeout=60, **how)
    return caught.value


def admitted(server: Process) -> float:
    """Calls that wait or have been answered; the one that runs is neither."""
    families = check_exposition(ask(server.port, "GET", "/metrics")[2].decode())
    names = ("nv_inference_pending_request_count", "nv_inference_request_success")
    return sum(sum(families[name].samples.values()) for name in names)


def test_a_signal_loses_no_call(tmp_path: Path) -> None:
    """SIGTERM while twenty wait: each gets its response, the next is refused, and the server exits with 0."""
    path = model_file(tmp_path, shape=("N", 3, 192, 192), classes=512)
    x = np.random.default_rng(5).normal(size=(1, 3, 192, 192)).astype(np.float32)
    limits = ("--max-queue", "1000", "--max-batch", "1")
    with (
        running(f"small={path}", "--grpc-port", "0", *limits) as server,
        channel_to(server.grpc_port) as channel,
        ThreadPoolExecutor(20) as clients,
    ):
        asked = [clients.submit(call(channel), asking(x), timeout=60) for _ in range(20)]
        until(lambda: admitted(server) >= 19)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        late = refusal(channel, asking(x))
        answers = {each.result().raw_output_contents[0] for each in asked}
        assert late.code() is grpc.StatusCode.UNAVAILABLE
        assert len(answers) == 1
        assert server.process.wait(60) == 0


def test_the_token_is_asked_of_every_call_but_probes(tmp_path: Path) -> None:
    """The same file as for REST."""
    (tmp_path / "token").write_text("s3cret\n")
    told = ("--grpc-port", "0", "--token-file", str(tmp_path / "token"))
    with running(f"small={model_file(tmp_path)}", *told) as server, channel_to(server.grpc_port) as channel:
        assert call(channel, "ServerReady")(pb.ServerReadyRequest(), timeout=60).ready
        for given in (None, (("authorization", "Bearer wrong"),), (("authorization", "s3cret"),)):
            assert refusal(channel, asking(), metadata=given).code() is grpc.StatusCode.UNAUTHENTICATED
        answer = call(channel)(asking(), metadata=(("authorization", "Bearer s3cret"),), timeout=60)
        assert answer.raw_output_contents == [bare_scores(X).tobytes()]


@pytest.mark.parametrize("coding", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_a_message_is_limited_like_a_body(tmp_path: Path, coding: Any) -> None:
    """`--max-body` holds for what it unfolds to; the next call is answered."""
    limits = ("--grpc-port", "0", "--max-body", "1")
    with running(f"small={model_file(tmp_path)}", *limits) as server, channel_to(server.grpc_port) as channel:
        for size in (MIB, 64 * MIB):
            error = refusal(channel, asking(np.zeros((1, size // 4), np.float32)), compression=coding)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error.details()
        answer = call(channel)(asking(), compression=coding, timeout=60)
        assert answer.raw_output_contents == [bare_scores(X).tobytes()]


@pytest.mark.parametrize(
    ("own", "servers"), [(20_000, 3600.0), (0, 0.02)], ids=["as the call says", "as the server says"]
)
def test_a_call_waits_no_longer_than_was_said(tmp_path: Path, own: int, servers: float) -> None:
    """DEADLINE_EXCEEDED, and when to come back, while the model is still busy; it is never run."""
    with (
        hosted(model_file(tmp_path), grpc_port=0, timeout=servers) as server,
        channel_to(server.grpc_port) as channel,
    ):
        first = call(channel).future(waiting_for(60_000_000), timeout=60)
        until(lambda: server.runs == [1])
        late = refusal(channel, waiting_for(own))
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "waited in the queue for longer than its timeout" in late.details()
        assert dict([*late.trailing_metadata()])["retry-after"] == "1"
        server.gate.set()
        assert first.result().raw_output_contents == [bare_scores(X).tobytes()]
        assert server.runs == [1]


def test_a_full_queue_refuses_a_call(tmp_path: Path) -> None:
    """UNAVAILABLE, and when to come back; what was taken is answered."""
    with (
        hosted(model_file(tmp_path), rows=1, queue=2, grpc_port=0) as server,
        channel_to(server.grpc_port) as channel,
    ):
        taken = [call(channel).future(asking(), timeout=60)]
        until(lambda: server.runs == [1])
        taken += [call(channel).future(asking(), timeout=60) for _ in range(2)]
        until(lambda: server.pending == 2)
        refused = refusal(channel, asking())
        assert refused.code() is grpc.StatusCode.UNAVAILABLE
        assert "the queue is full: 2 rows wait" in refused.details()
        assert int(dict([*refused.trailing_metadata()])["retry-after"]) >= 1
        server.gate.set()
        assert {each.result().raw_output_contents[0] for each in taken} == {bare_scores(X).tobytes()}


def test_a_hang_up_during_a_drain_changes_nothing(tmp_path: Path) -> None:
    """Nor a third signal: the process ends by itself, with 0, when the last call has."""
    arguments = (f"small={model_file(tmp_path)}", "--grpc-port", "0", "--read-timeout", "2", "--reload")
    silent = threading.Event()

    def never() -> Iterator[bytes]:
        silent.wait(60)
        yield from ()

    with running(*arguments) as server, channel_to(server.grpc_port) as channel:
        asked = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer").future(never())
        assert call(channel, "ServerReady")(pb.ServerReadyRequest(), timeout=60).ready
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(60) == 0
        server.wait_for("stopped")
        assert not any("reload" in line for line in server.lines)
        silent.set()
        assert asked.exception().code() in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
