"""Weights begin as their scheme says, survive a file, and are adopted whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from oracle_graphs import ORACLES, hash_weights, oracle_graph, record
from safetensors.numpy import save as to_safetensors
from safetensors.torch import save_file
from torch import nn

from nin_spec.diagnostics import Code, ExportError, WeightsError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import DType, TensorType
from nin_spec.weights import Adoption, Init, Scheme, adopt, initialise, load, save

Arrays = dict[str, np.ndarray[Any, Any]]

NAMES = ("conv1", "norm", "act", "mix1", "mix2", "scores")
"""What another program might call the layers of `small` that own tensors."""


def small(dtype: DType = "float32") -> Graph:
    """Every kind of parameter, and two layers (blocks.0.convs.1 and .2) that only their order tells apart."""
    graph = Graph("small", TensorType((3, 8, 8), dtype))
    steps: list[tuple[str, ops.Op]] = [
        ("blocks.0.convs.0", ops.Conv2d(8, (5, 5), bias=False)),
        ("blocks.0.norms.0", ops.BatchNorm()),
        ("blocks.0.activations.0", ops.PReLU(per_channel=True, init=0.1)),
        ("blocks.0.convs.1", ops.Conv2d(8, (1, 1))),
        ("blocks.0.convs.2", ops.Conv2d(8, (1, 1))),
        ("head.pool", ops.AdaptiveAvgPool2d()),
        ("head.flatten", ops.Flatten()),
        ("head.dense.0", ops.Linear(4)),
    ]
    for name, op in steps:
        graph = graph.then(name, op)
    return graph


def values(graph: Graph) -> Arrays:
    """Distinct numbers for each parameter."""
    return {name: array.astype(graph.input.dtype) for name, array in hash_weights(graph).items()}


def foreign(graph: Graph, names: tuple[str, ...] = NAMES, prefix: str = "") -> Arrays:
    """The parameters of `small` under other names, in layer order."""
    own = [node.name for node in graph if node.parameters()]
    renamed = dict(zip(own, names, strict=True))
    return {
        f"{prefix}{renamed[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": array
        for name, array in values(graph).items()
    }


def take(tensors: Mapping[str, Any], graph: Graph, *, ordered: bool = True) -> Adoption:
    """Adopt from a file that is called `file`."""
    return adopt(tensors, graph, "file", ordered=ordered)


def refused(code: Code, match: str) -> pytest.RaisesExc[WeightsError]:
    """A WeightsError of that code, with that in its message."""
    return pytest.raises(WeightsError, match=match, check=lambda e: {d.code for d in e.diagnostics} == {code})


def assert_same(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Equal names in equal order, equal numbers and dtypes."""
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
        assert got[name].dtype == array.dtype


# ------------------------------------------------------------------ initialisation

CONV = ops.Conv2d(120, (3, 3), groups=2)


def wide() -> Graph:
    """A grouped convolution and a dense layer with enough weights for statistics."""
    graph = Graph("wide", TensorType((60, 3, 3))).then("conv", CONV).then("flatten", ops.Flatten())
    return graph.then("dense", ops.Linear(300))


def torch_drawn(scheme: Scheme, shape: tuple[int, ...]) -> torch.Tensor:
    """What torch.nn.init draws by the same scheme."""
    t = torch.empty(shape)
    torch.manual_seed(0)
    match scheme.kind:
        case "framework":
            return nn.init.kaiming_uniform_(t, a=math.sqrt(5))
        case "gaussian":
            return nn.init.normal_(t, std=scheme.std)
        case "xavier_uniform" | "xavier_normal":
            return getattr(nn.init, f"{scheme.kind}_")(t)  # type: ignore[no-any-return]
        case _:
            return getattr(nn.init, f"{scheme.kind}_")(t, mode=scheme.mode, nonlinearity="relu")  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["conv.weight", "dense.weight"])
@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(),
        Scheme("gaussian", std=0.05),
        Scheme("xavier_uniform"),
        Scheme("xavier_normal"),
        Scheme("kaiming_uniform"),
        Scheme("kaiming_normal"),
        Scheme("kaiming_uniform", mode="fan_out"),
        Scheme("kaiming_normal", mode="fan_out"),
    ],
    ids=lambda s: f"{s.kind}-{s.mode}",
)
def test_schemes_draw_what_torch_draws(scheme: Scheme, name: str) -> None:
    """The spread, the mean and, where uniform, the bounds are those of torch.nn.init."""
    ours = initialise(wide(), Init(scheme), 0)[name]
    theirs = torch_drawn(scheme, ours.shape).numpy()
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    assert abs(ours.mean()) < 0.02 * ours.std()
    if "uniform" in scheme.kind or scheme.kind == "framework":
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=2e-3)
    else:
        assert np.abs(ours).max() > 3.5 * ours.std()


def test_the_framework_draws_biases_too() -> None:
    """Uniform in +-1 / sqrt(fan_in), as PyTorch's layers do."""
    drawn = initialise(wide(), Init(), 0)
    for name, fan_in in (("conv.bias", 30 * 9), ("dense.bias", 120)):
        bound = 1 / math.sqrt(fan_in)
        assert 0.9 * bound < np.abs(drawn[name]).max() <= bound


def test_other_biases_are_what_the_scheme_says() -> None:
    """Zero, a constant, or a constant give or take a deviation."""
    assert not initialise(wide(), Init(Scheme("kaiming_normal")), 0)["conv.bias"].any()
    assert (initialise(wide(), Init(Scheme("gaussian", bias=0.2)), 0)["conv.bias"] == np.float32(0.2)).all()
    drawn = initialise(wide(), Init(Scheme("gaussian", bias=0.2, bias_std=0.1)), 0)["dense.bias"]
    assert drawn.mean() == pytest.approx(0.2, abs=0.03)
    assert drawn.std() == pytest.approx(0.1, rel=0.15)


def test_scale_multiplies_the_weights() -> None:
    """And leaves the biases."""
    plain = initialise(wide(), Init(Scheme("gaussian", std=0.05, bias_std=1)), 0)
    scaled = initialise(wide(), Init(Scheme("gaussian", std=0.05, bias_std=1, scale=0.1)), 0)
    np.testing.assert_allclose(scaled["conv.weight"], plain["conv.weight"] * 0.1, rtol=1e-6)
    np.testing.assert_array_equal(scaled["conv.bias"], plain["conv.bias"])


def test_norms_and_slopes_begin_neutral() -> None:
    """Scale 1, shift 0, mean 0, variance 1, and the slope that the op says."""
    drawn = initialise(small(), Init(), 0)
    begins = {"norms.0.weight": 1, "norms.0.bias": 0, "norms.0.running_mean": 0, "norms.0.running_var": 1}
    for name, value in {**begins, "activations.0.weight": np.float32(0.1)}.items():
        assert (drawn[f"blocks.0.{name}"] == value).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_are_the_graph_s(dtype: DType) -> None:
    """Names in layer order, shapes, and the graph's dtype."""
    graph = small(dtype)
    drawn = initialise(graph, Init(), 0)
    assert {n: a.shape for n, a in drawn.items()} == {n: p.shape for n, p in graph.parameters().items()}
    assert list(drawn) == list(graph.parameters())
    assert {str(a.dtype) for a in drawn.values()} == {dtype}


def test_a_layer_may_have_its_own_scheme() -> None:
    """Which changes no other layer's numbers."""
    default = Init(Scheme("gaussian", std=1.0))
    one = Init(default.default, {"blocks.0.convs.1": Scheme("gaussian", std=0.5)})
    a, b = initialise(small(), default, 3), initialise(small(), one, 3)
    np.testing.assert_allclose(b["blocks.0.convs.1.weight"], a["blocks.0.convs.1.weight"] / 2)
    for name in set(a) - {"blocks.0.convs.1.weight"}:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    """These bytes, on every machine and with every version; another seed gives others."""
    digest = hashlib.sha256(initialise(small(), Init(), 7)["head.dense.0.weight"].tobytes()).hexdigest()
    assert digest.startswith("5a9fdefaf8f37b1e")
    drawn = [initialise(small(), Init(), seed) for seed in (7, 8)]
    assert not np.array_equal(drawn[0]["head.dense.0.weight"], drawn[1]["head.dense.0.weight"])
    assert not np.array_equal(drawn[0]["blocks.0.convs.1.weight"], drawn[0]["blocks.0.convs.2.weight"])


# ------------------------------------------------------------------ our files


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_saved_is_loaded(tmp_path: Path, dtype: DType) -> None:
    """Every bit of every tensor, and nothing is renamed."""
    graph = small(dtype)
    save(tmp_path / "w.safetensors", values(graph), {"nin_spec.name": "small"})
    adoption = load(tmp_path / "w.safetensors", graph)
    assert_same(adoption.weights, values(graph))
    assert not adoption.renamed
    assert adoption.mapping == tuple((n, n) for n in graph.parameters())
    assert adoption.remarks == ()


def test_a_saved_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Whatever the process: another interpreter writes the metadata in the same order."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from nin_spec.weights import save;"
        "save(Path(sys.argv[1]), {'a.weight': np.ones(3, 'f4')}, {k: k for k in 'vwxyz'})"
    )
    for i in range(4):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / f"{i}")], check=True)
    assert len({(tmp_path / f"{i}").read_bytes() for i in range(4)}) == 1


def test_saved_files_are_readable_by_others(tmp_path: Path) -> None:
    """By the safetensors library, with the metadata."""
    from safetensors import safe_open

    save(tmp_path / "w.safetensors", values(small()), {"nin_spec.name": "small"})
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        assert file.metadata() == {"nin_spec.name": "small"}
        assert_same({name: file.get_tensor(name) for name in values(small())}, values(small()))


def test_saving_into_nowhere_is_refused(tmp_path: Path) -> None:
    """A missing folder is an ExportError, and nothing is left behind."""
    with pytest.raises(ExportError, match="there is no folder"):
        save(tmp_path / "nowhere" / "w.safetensors", values(small()), {})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_function_are_remarked(tmp_path: Path) -> None:
    """Tensors that fit may be another spec's: the hash in the file tells."""
    save(tmp_path / "w.safetensors", values(small()), {"nin_spec.hash": "nin1:another"})
    (remark,) = load(tmp_path / "w.safetensors", small()).remarks
    assert "nin1:another" in remark


# ------------------------------------------------------------------ adoption


def build_record() -> ModuleType:
    """The oracles' own builder."""
    spec = importlib.util.spec_from_file_location("build_record", ORACLES / "build_record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved_pt(state: Mapping[str, Any], path: Path) -> None:
    """As torch.save writes it."""
    torch.save(state, path)


def saved_safetensors(state: Mapping[str, Any], path: Path) -> None:
    """As safetensors.torch.save_file writes it."""
    save_file({name: t.contiguous() for name, t in state.items()}, path)


@pytest.mark.parametrize("write", [saved_pt, saved_safetensors])
@pytest.mark.parametrize(
    "name", ["pytorch_bn_all_but_last", "keras_cifar10_bn_same", "d2l_fashion_mnist", "torch7_wrn_nin_linear_head"]
)
def test_an_nn_sequential_is_adopted(name: str, write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    """A published network's own state_dict, with names such as 0.weight and 10.bias."""
    oracle = build_record()
    net = oracle.build(record(name))
    oracle.set_parameters(net, "hash")
    write(net.state_dict(), tmp_path / "weights")
    graph = oracle_graph(name)
    adoption = load(tmp_path / "weights", graph)
    assert_same(adoption.weights, hash_weights(graph))
    assert adoption.renamed
    assert any("num_batches_tracked" in r for r in adoption.remarks) == any(
        "norm" in k for k in (layer["op"] for layer in record(name)["layers"])
    )


STYLES = [
    NAMES,
    ("layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.1", "fc"),
    ("net.0.0", "net.0.1", "net.0.2", "net.0.10", "net.0.11", "net.1.0"),
    ("features.0", "features.1", "features.2", "features.9", "features.10", "features.11"),
    ("0", "1", "2", "3", "4", "5"),
]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("names", STYLES, ids=lambda s: s[-1])
def test_names_of_all_styles_are_adopted(names: tuple[str, ...], *, ordered: bool) -> None:
    """In the file's order, or in the natural order of the names when the file has none."""
    state = foreign(small(), names)
    if not ordered:
        state = dict(sorted(state.items()))
    adoption = take(state, small(), ordered=ordered)
    assert_same(adoption.weights, values(small()))
    assert [theirs for theirs, _ in adoption.mapping] == list(foreign(small(), names))
    assert [ours for _, ours in adoption.mapping] == list(small().parameters())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_of_our_own_module_are_seen_through(prefix: str) -> None:
    """DataParallel and torch.compile put a word before every name: order no longer matters then."""
    state = {f"{prefix}{name}": array for name, array in reversed(values(small()).items())}
    assert_same(take(state, small(), ordered=False).weights, values(small()))
    assert_same(take(foreign(small(), prefix=prefix), small()).weights, values(small()))


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_training_checkpoint_is_unwrapped(key: str, tmp_path: Path) -> None:
    """The state_dict inside, and the epoch and the optimiser's state beside it are left alone."""
    state = OrderedDict((n, torch.from_numpy(a)) for n, a in foreign(small()).items())
    checkpoint = {"epoch": 3, key: state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    torch.save(checkpoint, tmp_path / "c.pt")
    assert_same(load(tmp_path / "c.pt", small()).weights, values(small()))


def test_a_live_module_s_parameters_are_adopted(tmp_path: Path) -> None:
    """Tensors that need gradients, saved by torch's old format too."""
    state = {n: nn.Parameter(torch.from_numpy(a)) for n, a in foreign(small()).items()}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(load(tmp_path / "old.pth", small()).weights, values(small()))


def test_layers_made_in_another_order_are_told_apart_by_shape() -> None:
    """Where no two layers are alike, only one match exists."""
    graph = Graph("g", TensorType((3, 8, 8))).then("a", ops.Conv2d(8, (3, 3))).then("b", ops.Conv2d(4, (1, 1)))
    own = values(graph)
    state = {
        "scores.weight": own["b.weight"], "scores.bias": own["b.bias"],
        "stem.bias": own["a.bias"], "stem.weight": own["a.weight"],
    }  # fmt: skip
    for ordered in (True, False):
        adoption = take(state, graph, ordered=ordered)
        assert_same(adoption.weights, own)
        assert adoption.mapping[0] == ("stem.weight", "a.weight")


def test_a_shuffled_state_dict_falls_back_on_its_names() -> None:
    """When the file's order does not fit, the natural order of the names may."""
    names = ("conv1", "conv2", "conv3", "conv4", "conv10", "conv11")
    state = foreign(small(), names)
    shuffled = {name: state[name] for name in sorted(state, reverse=True)}
    assert_same(take(shuffled, small()).weights, values(small()))


def test_a_file_s_order_is_believed_where_it_has_one() -> None:
    """Two layers that only order tells apart: a state_dict's order counts, not its names."""
    names = ("conv1", "norm", "act", "zebra", "ape", "scores")
    assert_same(take(foreign(small(), names), small()).weights, values(small()))


def test_what_nothing_tells_apart_is_refused() -> None:
    """A safetensors file has no order, and `ape` and `zebra` say nothing about theirs."""
    names = ("conv1", "norm", "prelu", "u1", "v1", "w")
    with refused(Code.WEIGHTS_MISMATCH, "u1 and v1 could be exchanged"):
        take(foreign(small(), names), small(), ordered=False)


# ------------------------------------------------------------------ refusals


def edited(**changes: Any) -> Arrays:
    """The foreign state with some tensors replaced, or left out where None; `__` stands for the dot."""
    state: dict[str, Any] = foreign(small())
    for name, array in changes.items():
        state[name.replace("__", ".")] = array
    return {name: array for name, array in state.items() if array is not None}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (edited(mix1__bias=None), r"has 11 tensors in 6 layers, the network 12 in 6.*blocks.0.convs.[12].*mix1"),
        (edited(mix1__weight=None, mix1__bias=None), r"has 10 tensors in 5 layers, the network 12 in 6"),
        (edited(extra__weight=np.zeros((4, 4), "f4")), r"has 13 tensors in 7 layers, the network 12 in 6"),
        (edited(scores__weight=np.zeros((8, 4), "f4")), r"head.dense.0 has weight 4x8.*scores has weight 8x4"),
        (edited(scores__weight=np.zeros((4, 8, 1, 1), "f4")), r"weight 4x8.*weight 4x8x1x1"),
        (edited(mix2__weight=np.zeros((8, 8), "f4")), r"blocks.0.convs.2 has weight 8x8x1x1.*mix2 has weight 8x8\b"),
        (edited(mix1__bias=None, mix1__beta=np.zeros(8, "f4")), r"blocks.0.convs.[12] has.*bias.*mix1 has.*beta"),
        (edited(norm__running_var=None, norm__scale=np.zeros(8, "f4")), r"blocks.0.norms.0 has.*norm has"),
        ({}, "has 0 tensors"),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_whatever_does_not_fit_is_refused(state: Arrays, match: str, *, ordered: bool) -> None:
    """With the first layer that does not, both shapes and the counts."""
    with refused(Code.WEIGHTS_MISMATCH, match):
        take(state, small(), ordered=ordered)


def test_our_names_with_another_shape_are_refused() -> None:
    """The tensor is named with both shapes."""
    state = {**values(small()), "head.dense.0.weight": np.zeros((8, 4), "f4")}
    with refused(Code.WEIGHTS_MISMATCH, "head.dense.0.weight has the shape 8x4, the spec says 4x8"):
        take(state, small())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    """A diverged training is found here, not in production."""
    state = foreign(small())
    state["mix2.bias"][3] = bad
    with refused(Code.WEIGHTS_MISMATCH, r"mix2.bias holds .*not finite"):
        take(state, small())


def test_numbers_beyond_the_network_s_dtype_are_refused() -> None:
    """A float64 tensor of 1e300 does not become infinite in float32."""
    state = {n: a.astype(np.float64) for n, a in foreign(small()).items()}
    state["mix2.bias"][3] = 1e300
    with refused(Code.WEIGHTS_MISMATCH, "mix2.bias holds .*float32"):
        take(state, small())


def test_a_negative_variance_is_refused() -> None:
    """It would make every output NaN."""
    state = foreign(small())
    state["norm.running_var"][0] = -1
    with refused(Code.WEIGHTS_MISMATCH, r"norm.running_var.*negative"):
        take(state, small())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("write", [saved_pt, saved_safetensors])
def test_other_precisions_are_converted_and_said(
    dtype: torch.dtype, write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    """To the graph's dtype, with the numbers that the file has."""
    state = {n: torch.from_numpy(a).to(dtype) for n, a in foreign(small()).items()}
    names = ("l0", "l1", "l2", "l3", "l4", "l5")
    state = {
        n.replace(old, new): t for n, t in state.items() for old, new in zip(NAMES, names, strict=True) if old in n
    }
    write(state, tmp_path / "w")
    adoption = load(tmp_path / "w", small())
    assert_same(
        adoption.weights, dict(zip(small().parameters(), (t.float().numpy() for t in state.values()), strict=True))
    )
    assert any(str(dtype).removeprefix("torch.") in r and "float32" in r for r in adoption.remarks)


def test_a_float64_network_keeps_float64(tmp_path: Path) -> None:
    """Not a bit is lost on the way through a checkpoint."""
    graph = small("float64")
    torch.save({n: torch.from_numpy(a) for n, a in foreign(graph).items()}, tmp_path / "w.pt")
    assert_same(load(tmp_path / "w.pt", graph).weights, values(graph))


@pytest.mark.parametrize("write", [saved_pt, saved_safetensors])
def test_integers_are_refused(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    """A quantised checkpoint is not weights."""
    state = {n: torch.from_numpy(a) for n, a in foreign(small()).items()}
    write({**state, "mix1.weight": torch.zeros(8, 8, 1, 1, dtype=torch.int8)}, tmp_path / "w")
    with refused(Code.WEIGHTS_UNREADABLE, r"mix1.weight holds .*[iI](nt)?8"):
        load(tmp_path / "w", small())


# ------------------------------------------------------------------ hostile files


class Attack:
    """Pickled, a call that runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch OWNED",)


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, old: bool) -> None:
    """It is refused, and the message does not advise to trust the file."""
    monkeypatch.chdir(tmp_path)
    state = {**{n: torch.from_numpy(a) for n, a in foreign(small()).items()}, "x": Attack()}
    torch.save(state, "evil.pt", _use_new_zipfile_serialization=not old)
    with refused(Code.WEIGHTS_UNREADABLE, "never run") as caught:
        load(Path("evil.pt"), small())
    assert "weights_only" not in str(caught.value)
    Path("raw.pt").write_bytes(pickle.dumps(Attack(), protocol=2))
    with refused(Code.WEIGHTS_UNREADABLE, "raw.pt can't be used"):
        load(Path("raw.pt"), small())
    assert not Path("OWNED").exists()


def header(size: int, text: bytes = b"{}") -> bytes:
    """The start of a safetensors file that claims a header of `size` bytes."""
    return size.to_bytes(8, "little") + text


def zip_of(**files: bytes) -> bytes:
    """A zip archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        header(1 << 40),
        header((1 << 64) - 1),
        header(2, b"[]"),
        header(4, b"null"),
        header(50_000_000, b"{" * 1000),
        header(15, b'{"a":{"b":"c"}}'),
        to_safetensors(values(small()))[:-5],
        to_safetensors(values(small())) + b"more",
        zip_of(readme=b"hello"),
        zip_of(),
        b"PK\x03\x04",
        b"\x80\x02.",
        b"\x80\x02",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"spec: 1\nname: tiny\n",
    ],
    ids=lambda d: repr(d[:12]),
)
def test_files_of_another_kind_are_refused(data: bytes, tmp_path: Path) -> None:
    """Truncated, oversized, empty, or something else altogether."""
    (tmp_path / "w").write_bytes(data)
    with refused(Code.WEIGHTS_UNREADABLE, "can't be used"):
        load(tmp_path / "w", small())


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe (which would wait for ever)."""
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("missing", "no such file"), (".", "not a regular file"), ("pipe", "not a regular file")):
        with refused(Code.WEIGHTS_UNREADABLE, why):
            load(tmp_path / name, small())


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"epoch": 3}, {}, {1: torch.zeros(3)}, {"a": "text"}])
def test_a_checkpoint_without_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    """Whatever else torch.save can hold."""
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt"):
        load(tmp_path / "w.pt", small())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_that_only_claims_to_be_large_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    """One number that says it is 10^12: refused by its shape, before memory is taken."""
    state: dict[str, Any] = {n: torch.from_numpy(a) for n, a in foreign(small()).items()}
    torch.save({**state, "mix1.weight": torch.zeros(1, dtype=dtype).expand(10**12)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"mix1"):
        load(tmp_path / "w.pt", small())


@pytest.mark.parametrize("name", [".weight", "..weight", "weight", "", ".", "a..weight", "\x1b[2J.weight"])
def test_odd_names_are_only_names(name: str) -> None:
    """A match is by shape here; a last part that is no role is refused."""
    graph = Graph("g", TensorType((3, 8, 8))).then("a", ops.Conv2d(8, (3, 3), bias=False))
    (array,) = values(graph).values()
    if name.endswith("weight"):
        assert take({name: array}, graph).mapping == ((name, "a.weight"),)
    else:
        with refused(Code.WEIGHTS_MISMATCH, "does not fit"):
            take({name: array}, graph)


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    """Bytes changed at random give a WeightsError, or weights that fit; never another exception."""
    tensors = {n: torch.from_numpy(a) for n, a in foreign(small()).items()}
    path = tmp_path / "w"
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in random.integers(0, min(len(whole), 3000), random.integers(1, 6)):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged[: random.integers(1, len(whole))] if random.random() < 0.2 else damaged)
        try:
            adoption = load(path, small())
        except WeightsError:
            continue
        assert list(adoption.weights) == list(small().parameters())
