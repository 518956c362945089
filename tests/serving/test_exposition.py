"""What /metrics shows: text that Prometheus reads, under Triton's names, of numbers that move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from exposition import check_exposition
from hosted_server import Hosted, hosted
from server_process import ask, binary_request, model_file, until

from nin_spec.serving.metrics import Observed, Statistics, exposition

KINDS = {
    "nv_inference_request_success": "counter",
    "nv_inference_request_failure": "counter",
    "nv_inference_count": "counter",
    "nv_inference_exec_count": "counter",
    "nv_inference_request_duration_us": "counter",
    "nv_inference_queue_duration_us": "counter",
    "nv_inference_compute_input_duration_us": "counter",
    "nv_inference_compute_infer_duration_us": "counter",
    "nv_inference_compute_output_duration_us": "counter",
    "nv_inference_pending_request_count": "gauge",
}
INFER = "/v2/models/small/infer"
HEAD = "# HELP a b\n# TYPE a counter\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "a 1",
        HEAD + "a 1\n\n",
        HEAD + "a one\n",
        HEAD + "a{b=1} 1\n",
        HEAD + 'a{b="\\x"} 1\n',
        HEAD + 'a{b="""} 1\n',
        HEAD + 'a{1b=""} 1\n',
        HEAD + "a 1\na 1\n",
        HEAD + "b 1\n",
        HEAD + HEAD,
        "# TYPE a counter\na 1\n",
        "# HELP a b\na 1\n",
        "# HELP a b\n# TYPE a number\na 1\n",
    ],
)
def test_what_is_not_an_exposition_is_found_out(text: str) -> None:
    """The check of the tests below is one."""
    assert check_exposition(HEAD + 'a{b="c"} 1\na{b="d"} -1.5e3\n')
    with pytest.raises(AssertionError):
        check_exposition(text)


def test_any_name_is_escaped() -> None:
    """A quote, a backslash and a new line come out as they went in, for every name and reason."""
    name = 'quo"ted \\n back\\slash\nline'
    text = exposition({(name, "1"): Observed(Statistics(7, {"CANCELED": 2, "OTHER": 3}), 4)})
    found = check_exposition(text)
    assert {key: family.kind for key, family in found.items()} == KINDS
    who = frozenset({("model", name), ("version", "1")})
    failures = found.pop("nv_inference_request_failure").samples
    assert {key: list(family.samples) for key, family in found.items()} == {key: [who] for key in found}
    assert found["nv_inference_request_success"].samples[who] == 7
    assert found["nv_inference_pending_request_count"].samples[who] == 4
    reasons = {"BACKEND": 0, "REJECTED": 0, "CANCELED": 2, "OTHER": 3}
    assert failures == {who | {("reason", reason)}: count for reason, count in reasons.items()}


def numbers(server: Hosted) -> dict[str, float]:
    """Each name's, of all reasons together."""
    text = ask(server.port, "GET", "/metrics")[2].decode()
    return {name: sum(family.samples.values()) for name, family in check_exposition(text).items()}


def test_every_number_moves(tmp_path: Path) -> None:
    """One request runs alone, three run together behind it, and one is refused."""
    body, extra = binary_request(np.ones((2, 3, 8, 8), np.float32))
    with ThreadPoolExecutor(4) as clients, hosted(model_file(tmp_path), rows=8) as server:
        assert numbers(server) == dict.fromkeys(KINDS, 0)
        asked = [clients.submit(ask, server.port, "POST", INFER, body, extra)]
        until(lambda: server.runs == [2])
        asked += [clients.submit(ask, server.port, "POST", INFER, body, extra) for _ in range(3)]
        until(lambda: server.pending == 3)
        assert ask(server.port, "POST", INFER, b"{}")[0] == 400
        assert numbers(server) == dict.fromkeys(KINDS, 0) | {
            "nv_inference_pending_request_count": 3,
            "nv_inference_request_failure": 1,
        }
        server.gate.set()
        assert [each.result()[0] for each in asked] == [200] * 4
        after = numbers(server)
    counts = {name: value for name, value in after.items() if not name.endswith("_duration_us")}
    assert counts == {
        "nv_inference_request_success": 4,
        "nv_inference_request_failure": 1,
        "nv_inference_count": 8,
        "nv_inference_exec_count": 2,
        "nv_inference_pending_request_count": 0,
    }
    assert all(after[name] > 0 for name in KINDS if name.endswith("_duration_us"))
