"""gRPC: the protocol's own messages, the same answers and refusals as REST, nobody left waiting."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from foreign_clients import run_client
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from hypothesis import given
from hypothesis import strategies as st
from rpc_service import MIB, Fake, call, on_server, refused, request

from nin_spec.diagnostics import InputError
from nin_spec.serving import errors
from nin_spec.serving.grpc.messages import CONTENTS, read_message, write_message
from nin_spec.serving.grpc.proto import messages as pb
from nin_spec.serving.grpc.rpc import Interceptor, listen
from nin_spec.serving.limits import MemoryBudget
from nin_spec.serving.protocol import InferResponse, Tensor
from nin_spec.serving.tensors import DTYPES


@pytest.mark.floors
def test_the_six_calls_answer() -> None:
    """Each with its own message; raw in, raw out, the id with it."""

    async def session(channel: grpc.aio.Channel) -> None:
        assert (await call(channel, "ServerLive")(pb.ServerLiveRequest())).live
        assert (await call(channel, "ServerReady")(pb.ServerReadyRequest())).ready
        assert (await call(channel, "ModelReady")(pb.ModelReadyRequest(name="probe"))).ready
        assert not (await call(channel, "ModelReady")(pb.ModelReadyRequest(name="other"))).ready
        assert (await call(channel, "ServerMetadata")(pb.ServerMetadataRequest())).extensions == ["classification"]
        facts = await call(channel, "ModelMetadata")(pb.ModelMetadataRequest(name="probe"))
        assert list(facts.inputs[0].shape) == [-1, 3]
        answer = await call(channel)(request(id="mine"))
        assert (answer.model_name, answer.model_version, answer.id) == ("probe", "1", "mine")
        assert answer.raw_output_contents == [np.ones((1, 3), np.float32).tobytes()]

    on_server(Fake(), session)


DESCRIPTOR = """
import json
from google.protobuf import descriptor_pb2, json_format
from kserve.protocol.grpc import grpc_predict_v2_pb2
p = descriptor_pb2.FileDescriptorProto()
grpc_predict_v2_pb2.DESCRIPTOR.CopyToProto(p)
print(json.dumps([[json_format.MessageToDict(x) for x in (*p.message_type, *p.service[0].method)]]))
"""


def test_the_messages_are_kserves() -> None:
    """Every message and call of ours is in KServe's own module, field for field."""
    own = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(own)
    (theirs,) = json.loads(run_client(DESCRIPTOR))
    for mine in (*own.message_type, *own.service[0].method):
        assert json_format.MessageToDict(mine) in theirs


ARRAYS = {
    "BOOL": [True, False, True],
    "FP32": [0.5, -1.25, 3.0],
    "FP64": [0.1, -1e300, 3.0],
    **{f"UINT{n}": [0, 1, 2**n - 1] for n in (8, 16, 32, 64)},
    **{f"INT{n}": [-(2 ** (n - 1)), 0, 2 ** (n - 1) - 1] for n in (8, 16, 32, 64)},
}


@pytest.mark.parametrize("datatype", ARRAYS)
def test_typed_contents_are_the_raw_ones(datatype: str) -> None:
    """Every type, at the ends of its range."""
    array = np.array(ARRAYS[datatype], DTYPES[datatype]).reshape(1, 3)
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=[1, 3])
    raw = pb.ModelInferRequest(inputs=[tensor], raw_input_contents=[array.tobytes()])
    getattr(tensor.contents, CONTENTS[datatype]).extend(ARRAYS[datatype])
    for message in (raw, pb.ModelInferRequest(inputs=[tensor])):
        (read,) = read_message(message).inputs
        assert read.datatype == datatype
        np.testing.assert_array_equal(read.array, array)


def typed(datatype: str, key: str, values: list[Any]) -> Any:
    """A request whose input has typed contents."""
    contents = pb.InferTensorContents(**{key: values})
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=[len(values)], contents=contents)
    return pb.ModelInferRequest(inputs=[tensor])


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (pb.ModelInferRequest(), "has no inputs"),
        (typed("UINT8", "uint_contents", [256]), "out of the range of UINT8"),
        (typed("INT8", "int_contents", [-129]), "out of the range of INT8"),
        (typed("FP16", "fp32_contents", [1.0]), "the values of FP16 go into raw_input_contents"),
        (typed("FP32", "fp64_contents", [1.0]), "the values of FP32 are in fp32_contents, not in fp64_contents"),
        (typed("BYTES", "bytes_contents", [b"a"]), "the datatype is 'BYTES'"),
        (request(parameters={"timeout": pb.InferParameter(string_param="1")}), "is not a number of microseconds"),
        (request(parameters={"timeout": pb.InferParameter(int64_param=-1)}), "is not a number of microseconds"),
    ],
)
def test_a_message_that_does_not_hold_together_is_refused(message: Any, said: str) -> None:
    """With what is wrong."""
    with pytest.raises(errors.BadRequestError) as caught:
        read_message(message)
    assert said in caught.value.message


def test_a_region_of_shared_memory_is_refused() -> None:
    """On an input and on an output: this server shares none."""
    region = {"shared_memory_region": pb.InferParameter(string_param="region")}
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[0], parameters=region)
    output = pb.ModelInferRequest.InferRequestedOutputTensor(name="x", parameters=region)
    for message in (pb.ModelInferRequest(inputs=[tensor]), request(outputs=[output])):
        with pytest.raises(errors.BadRequestError, match="does not support shared memory"):
            read_message(message)


@given(st.data())
def test_no_message_breaks_the_reader(data: st.DataObject) -> None:
    """Whatever parses as a request is read or refused, and allocates nothing that was not sent."""
    axis = st.one_of(st.integers(-2, 4), st.sampled_from([2**40, 2**63 - 1, -(2**63)]))
    contents = st.fixed_dictionaries(
        {}, optional={"fp32_contents": st.lists(st.floats(width=32), max_size=4), "int_contents": st.just([1])}
    )
    tensor = st.fixed_dictionaries(
        {"name": st.text(max_size=3), "datatype": st.sampled_from([*DTYPES, "", "BYTES"]), "shape": st.lists(axis)},
        optional={"contents": contents.map(lambda c: pb.InferTensorContents(**c))},
    )
    inputs = data.draw(st.lists(tensor.map(lambda t: pb.ModelInferRequest.InferInputTensor(**t)), max_size=3))
    raw = data.draw(st.lists(st.binary(max_size=16), max_size=3))
    try:
        read = read_message(pb.ModelInferRequest(inputs=inputs, raw_input_contents=raw))
    except errors.BadRequestError:
        return
    assert sum(t.array.nbytes for t in read.inputs) <= 64


def test_texts_go_out_with_their_lengths() -> None:
    """As the protocol writes BYTES; a classification's answer is made of them."""
    texts = np.array([[b"0.5:1:dog", b""]], object)
    answer = write_message(InferResponse("m", "1", "", (Tensor("scores", texts),)))
    assert answer.outputs[0].datatype == "BYTES"
    assert answer.raw_output_contents == [b"\x09\0\0\0" + b"0.5:1:dog" + b"\0\0\0\0"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadRequestError("no"), "INVALID_ARGUMENT"),
        (errors.NotFoundError("no"), "NOT_FOUND"),
        (errors.FailedError("no"), "INTERNAL"),
        (errors.OverloadedError("no", retry_after=3), "UNAVAILABLE"),
        (errors.ExpiredError("no"), "DEADLINE_EXCEEDED"),
        (errors.GoneError("no"), "CANCELLED"),
    ],
)
def test_refusals_have_grpcs_codes(error: errors.ServingError, code: str) -> None:
    """And say what REST says, and when to come back."""

    async def refuse() -> None:
        raise error

    got = refused(Fake(refuse), code)
    assert got.details() == "no"
    retry = dict([*(got.trailing_metadata() or ())]).get("retry-after")
    assert retry == (None if error.retry_after is None else str(error.retry_after))


def test_an_error_of_ours_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """The client hears INTERNAL, the log the rest."""

    async def fail() -> None:
        raise RuntimeError("a secret")

    with caplog.at_level(logging.ERROR):
        got = refused(Fake(fail), "INTERNAL")
    assert "secret" not in (got.details() or "")
    assert "a secret" in caplog.text


def test_the_message_limit_is_the_servers_own() -> None:
    """A message beyond it is refused; one beyond grpc's default of 4 MiB, and within it, is answered."""
    refused(Fake(), "RESOURCE_EXHAUSTED", request(np.zeros((1, MIB), np.float32)), body=2 * MIB)

    async def session(channel: grpc.aio.Channel) -> None:
        large = np.arange(2 * MIB, dtype=np.float32).reshape(1, -1)
        answer = await call(channel)(request(large))
        assert answer.raw_output_contents == [large.tobytes()]

    on_server(Fake(), session, body=9 * MIB)


def test_a_deadline_ends_the_wait() -> None:
    """The client hears so, and the work is cancelled."""

    async def hang() -> None:
        await asyncio.sleep(60)

    service = Fake(hang)

    async def session(channel: grpc.aio.Channel) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel)(request(), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(service.cancelled.wait(), 60)

    on_server(service, session)


def test_a_client_that_leaves_is_not_worked_for() -> None:
    """Its call is cancelled where it waits."""

    async def hang() -> None:
        await asyncio.sleep(60)

    service = Fake(hang)

    async def session(channel: grpc.aio.Channel) -> None:
        pending = call(channel)(request())
        await asyncio.wait_for(service.began.wait(), 60)
        pending.cancel()
        await asyncio.wait_for(service.cancelled.wait(), 60)

    on_server(service, session)


def test_a_token_guards_all_but_the_probes() -> None:
    """No token and a wrong one get the same response."""

    async def session(channel: grpc.aio.Channel) -> None:
        assert (await call(channel, "ServerLive")(pb.ServerLiveRequest())).live
        assert (await call(channel, "ServerReady")(pb.ServerReadyRequest())).ready
        assert (await check(channel, "")) == 1
        for metadata in (None, (("authorization", "Bearer wrong"),), (("authorization", "secret"),)):
            for name, message in (("ModelInfer", request()), ("ServerMetadata", pb.ServerMetadataRequest())):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(channel, name)(message, metadata=metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await call(channel)(request(), metadata=(("authorization", "Bearer secret"),))

    on_server(Fake(), session, token=b"secret")


async def check(channel: grpc.aio.Channel, service: str) -> int:
    """What the standard health check says."""
    asked = channel.unary_unary("/grpc.health.v1.Health/Check", StringValue.SerializeToString, Int32Value.FromString)
    status: int = (await asked(StringValue(value=service))).value
    return status


def test_the_standard_health_check() -> None:
    """SERVING, NOT_SERVING while it drains, NOT_FOUND for what isn't here."""
    service = Fake()

    async def session(channel: grpc.aio.Channel) -> None:
        assert await check(channel, "inference.GRPCInferenceService") == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(channel, "other")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        service.draining = True
        assert await check(channel, "") == 2

    on_server(service, session)


def test_what_is_under_way_is_answered_before_the_end() -> None:
    """A stop waits for it, also for a call whose message is still to come; a new one is refused."""
    release, sent = asyncio.Event(), asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await sent.wait()
        yield request(id="late").SerializeToString()

    async def wait() -> None:
        await release.wait()

    service = Fake(wait)

    async def both() -> None:
        rpc = await listen(service, Interceptor(MemoryBudget(MIB)), "127.0.0.1", 0)  # type: ignore[arg-type]
        async with grpc.aio.insecure_channel(rpc.address.removeprefix("grpc://")) as channel:
            half = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")(late())
            pending = asyncio.ensure_future(call(channel)(request()))
            await asyncio.wait_for(service.began.wait(), 60)
            stopping = asyncio.create_task(rpc.stop(20))
            await asyncio.sleep(0.1)
            async with grpc.aio.insecure_channel(rpc.address.removeprefix("grpc://")) as other:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(other)(request())
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            release.set()
            sent.set()
            assert (await pending).model_name == "probe"
            assert b"late" in await half
            await stopping

    asyncio.run(both())


def test_a_port_that_is_taken_is_a_diagnostic() -> None:
    """Two servers never share one in silence."""

    async def both() -> None:
        first = await listen(Fake(), Interceptor(MemoryBudget(MIB)), "127.0.0.1", 0)  # type: ignore[arg-type]
        port = int(first.address.rpartition(":")[2])
        try:
            with pytest.raises(InputError, match="can't listen on"):
                await listen(Fake(), Interceptor(MemoryBudget(MIB)), "127.0.0.1", port)  # type: ignore[arg-type]
        finally:
            await first.stop(0)

    asyncio.run(both())
