"""What every call of gRPC passes before it is answered: the token, the memory that requests share, its message."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rpc_service import MIB, Fake, call, on_server, refused, request

from nin_spec.serving import errors
from nin_spec.serving.errors import BadRequestError
from nin_spec.serving.grpc.messages import check_fields
from nin_spec.serving.grpc.proto import messages as pb
from nin_spec.serving.grpc.rpc import Interceptor, listen
from nin_spec.serving.limits import MemoryBudget


def test_without_the_token_nothing_is_read() -> None:
    """A message that is too large for the server is not what such a client receives an error for."""
    service = Fake()
    error = refused(service, "UNAUTHENTICATED", request(np.ones((1, MIB), np.float32)), token=b"word")
    assert "token" in (error.details() or "")


def test_messages_hold_memory_until_they_are_answered() -> None:
    """Together no more than all requests may; then it is as before."""
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    service, budget = Fake(wait), MemoryBudget(MIB, total=MIB)
    large = request(np.ones((1, MIB // 6), np.float32))

    async def both() -> None:
        rpc = await listen(service, Interceptor(budget), "127.0.0.1", 0)  # type: ignore[arg-type]
        async with grpc.aio.insecure_channel(rpc.address.removeprefix("grpc://")) as channel:
            first = asyncio.ensure_future(call(channel)(large))
            await asyncio.wait_for(service.began.wait(), 60)
            assert budget.reserved > MIB // 2
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call(channel)(large, timeout=60)
            assert error.value.code().name == "UNAVAILABLE"
            assert dict([*error.value.trailing_metadata()])["retry-after"] == "1"
            release.set()
            await first
            assert budget.reserved == 0
        await rpc.stop(1)

    asyncio.run(both())


def test_a_message_that_never_comes_is_not_waited_for() -> None:
    """A call that is opened and says nothing ends; so does one that ends without a message, or with no message."""

    async def never() -> Any:
        await asyncio.sleep(60)
        yield b""

    async def nothing() -> Any:
        return
        yield b""

    async def broken() -> Any:
        yield b"\xff\xff\xff"

    async def both() -> None:
        rpc = await listen(Fake(), Interceptor(MemoryBudget(MIB), patience=0.2), "127.0.0.1", 0)  # type: ignore[arg-type]
        async with grpc.aio.insecure_channel(rpc.address.removeprefix("grpc://")) as channel:
            ask = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
            wanted = {never: "DEADLINE_EXCEEDED", nothing: "INVALID_ARGUMENT", broken: "INVALID_ARGUMENT"}
            for messages, code in wanted.items():
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await ask(messages(), timeout=60)
                assert error.value.code().name == code, messages
        await rpc.stop(0)

    asyncio.run(both())


def test_a_long_name_is_a_bad_argument() -> None:
    """And no broken stream, as details of any length would make it."""
    message = request()
    message.inputs[0].name = "\u00e9" * 20_000
    message.inputs[0].datatype = "?"
    error = refused(Fake(), "INVALID_ARGUMENT", message)
    assert len(error.details() or "") <= 500


def test_what_is_read_and_refused_is_counted() -> None:
    """As REST counts it."""
    service, message = Fake(), request()
    message.inputs[0].datatype = "?"
    refused(service, "INVALID_ARGUMENT", message)
    assert service.statistics.failure == {"REJECTED": 1}


def test_a_failure_is_logged_with_its_calls_id(caplog: pytest.LogCaptureFixture) -> None:
    """As REST's are; of a call without one its name."""

    async def fail() -> None:
        raise errors.FailedError("the model failed")

    for identity, told in (("mine", "mine"), ("", "ModelInfer")):
        caplog.clear()
        with caplog.at_level(logging.ERROR, "nin_spec.serving"):
            refused(Fake(fail), "INTERNAL", request(id=identity))
        assert [vars(record)["request"] for record in caplog.records] == [told]


def test_no_model_is_ready_that_has_no_name() -> None:
    """A version alone names nothing."""

    async def session(channel: grpc.aio.Channel) -> None:
        assert not (await call(channel, "ModelReady")(pb.ModelReadyRequest(version="99"))).ready

    on_server(Fake(), session)


def test_calls_that_say_nothing_stand_in_no_probes_way() -> None:
    """Hundreds that are opened and left, without the token: liveness answers, and so does who has the token."""

    async def never() -> Any:
        await asyncio.sleep(60)
        yield b""

    async def both() -> None:
        interceptor = Interceptor(MemoryBudget(MIB), b"word", patience=20)
        rpc = await listen(Fake(), interceptor, "127.0.0.1", 0)  # type: ignore[arg-type]
        async with grpc.aio.insecure_channel(rpc.address.removeprefix("grpc://")) as channel:
            names = ("ServerLive", "ServerReady", "ModelInfer")
            idle = [channel.stream_unary(f"/inference.GRPCInferenceService/{n}")(never()) for n in names * 100]
            idle += [channel.stream_unary("/grpc.health.v1.Health/Check")(never()) for _ in range(100)]
            await asyncio.sleep(0.2)
            assert (await call(channel, "ServerLive")(pb.ServerLiveRequest(), timeout=60)).live
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert await check(b"", timeout=60) == b"\x08\x01"
            told = (("authorization", "Bearer word"),)
            asked = pb.ModelReadyRequest(name="probe")
            assert (await call(channel, "ModelReady")(asked, metadata=told, timeout=60)).ready
            assert (await call(channel)(request(id="mine"), metadata=told, timeout=60)).id == "mine"
            for each in idle:
                each.cancel()
        await rpc.stop(0)

    asyncio.run(both())


@pytest.mark.parametrize(
    "data",
    [
        b"\x2a\x00" * 400_000,  # inputs with nothing in them
        b"\x3a\x00" * 400_000,  # raw contents
        b"\xa3\x06\xa4\x06" + b"\x2a\x00" * 400_000,  # behind a group, which readers pass over
        b"\x2a\xe0\xc5\x08" + b"\x22\x00" * 70_000 + b"\x0a\xff\xff\x7f",  # before a field that is cut off
        pb.ModelInferRequest(inputs=[{"contents": {"bytes_contents": [b""] * 400_000}}]).SerializeToString(),
        pb.ModelInferRequest(
            inputs=[{"parameters": {str(k): pb.InferParameter() for k in range(40_000)}}]
        ).SerializeToString(),
    ],
    ids=["inputs", "raw contents", "behind a group", "before a field that is cut off", "contents", "parameters"],
)
def test_a_message_of_countless_fields_is_refused_before_it_is_read(data: bytes) -> None:
    """Two bytes each, and up to a hundred in memory."""

    async def session(channel: grpc.aio.Channel) -> None:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError, match="more than 16384 fields") as error:
            await ask(data, timeout=60)
        assert error.value.code().name == "INVALID_ARGUMENT"

    on_server(Fake(), session)


def test_large_tensors_have_few_fields() -> None:
    """Raw or packed, with any bytes."""
    values = np.random.default_rng(0).integers(0, 256, 1 << 18, np.uint8)
    raw, packed = request(values.view(np.float32)[None]), request()
    packed.ClearField("raw_input_contents")
    packed.inputs[0].contents.uint_contents.extend(values.tolist())
    for message in (raw, packed):
        check_fields(message.SerializeToString(), message.DESCRIPTOR)


@given(st.binary(max_size=400), st.binary(max_size=40))
def test_what_is_not_a_message_is_left_to_the_reader(front: bytes, again: bytes) -> None:
    """No bytes break the count."""
    data = front + again * (MIB // max(len(again), 1) // 8)
    try:
        check_fields(data, pb.ModelInferRequest.DESCRIPTOR)
    except BadRequestError as error:
        assert "fields" in str(error)  # noqa: PT017


def test_a_shape_of_countless_axes_is_not_written_out() -> None:
    """A byte each on the wire: quoting it back would hold up everyone."""
    message = request()
    message.inputs[0].shape.extend([1] * 500_000)
    error = refused(Fake(), "INVALID_ARGUMENT", message)
    assert "the shape is a list, not a list of 1 to" in (error.details() or "")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["refused by the model", "no message", "answered"])
def test_nothing_of_a_call_outlives_it(kind: str) -> None:
    """Not in a cycle either, which Python would look for at some time: ten messages would be 160 MiB."""

    async def fail() -> None:
        raise errors.NotFoundError("there is no such model")

    async def session(channel: grpc.aio.Channel) -> None:
        data = b"\xff" * (16 * MIB) if kind == "no message" else large.SerializeToString()
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(12):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await ask(data, timeout=60)
            held.append(resident())

    large = request(np.ones((1, 4 * MIB), np.float32))
    service, held = Fake(fail if kind == "refused by the model" else None), list[int]()
    gc.collect()
    gc.disable()
    try:
        on_server(service, session, body=32 * MIB)
    finally:
        gc.enable()
    assert held[-1] - held[1] < 80 * MIB


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
