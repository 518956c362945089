"""Every word of the grammar: it is read, lowered, spelled, recognised, described, exported, and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from every_word import spec_with
from jsonschema import Draft202012Validator

import nin_spec
from nin_spec.analysis.shapes import describe
from nin_spec.conformance.grammar import KEYS, kinds_of, spellings
from nin_spec.diagnostics import ForeignModelError
from nin_spec.diagrams.columns import family
from nin_spec.exporter import make
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.importers.recognise import Hinted, recognise, response_norms, window_pools
from nin_spec.importers.regions import Array, Region
from nin_spec.importers.torch.importing import import_module
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Padding, TensorType
from nin_spec.language.json_schema import json_schema
from nin_spec.language.load import loads
from nin_spec.language.parts import Dropout
from nin_spec.language.reference import markdown
from nin_spec.language.schema import Head
from nin_spec.network import Network
from nin_spec.passes.normal_form import semantic_hash
from nin_spec.passes.pipeline import PASSES
from nin_spec.studio.completion import complete
from nin_spec.torch_module import build_module
from nin_spec.words import DROPOUTS, OUTPUTS, STEPS, WORDS, spelling_of

SPELLINGS = [(key, value) for key in KEYS for value in spellings(key)]
every_spelling = pytest.mark.parametrize(("key", "value"), SPELLINGS, ids=[json.dumps(v) for _, v in SPELLINGS])
RNG = np.random.default_rng(0)


def network_of(key: str, value: Any) -> Network:
    """A network with a word in its middle."""
    return nin_spec.compile(loads(json.dumps(spec_with(key, value)), "word.yaml"))


def node_of(key: str, value: Any) -> Node:
    """The node that a word is lowered to."""
    return next(node for node in network_of(key, value).graph if isinstance(node.op, STEPS[key]))


def op_of(key: str, value: Any) -> ops.Op:
    """The op that a word is lowered to."""
    return node_of(key, value).op


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize("key", KEYS)
def test_the_grammar_and_the_table_have_the_same_words(key: str) -> None:
    """A word in the one and not in the other could be written and not lowered, or never be written."""
    assert set(WORDS[key]) == set(kinds_of(key))


def test_every_op_has_a_word_or_a_step_of_its_own() -> None:
    """No op is out of reach of the language, and none has two words."""
    worded = [word.op for words in WORDS.values() for word in words.values()]
    assert len(worded) == len(set(worded))
    unworded = {ops.Conv2d, ops.Linear, ops.ChannelShuffle, ops.Flatten}
    assert {*worded, *unworded, *DROPOUTS.values(), *OUTPUTS.values()} == set(ops.all_ops())


def test_dropouts_and_outputs_are_all_in_the_table() -> None:
    """Their words are choices of the grammar, not kinds."""
    assert set(DROPOUTS) == set(get_args(Dropout.model_fields["by"].annotation))
    assert {"scores", *OUTPUTS} == set(get_args(Head.model_fields["output"].annotation))


@pytest.mark.parametrize("key", KEYS)
def test_no_key_is_ignored(key: str) -> None:
    """Each spelling of a word is an op of its own."""
    found = [op_of(key, value) for value in spellings(key)]
    assert len(set(found)) == len(found)


# ------------------------------------------------------------------ the language


@every_spelling
def test_it_is_spelled_as_it_was_written(key: str, value: Any) -> None:
    """In the fewest words: lowering and spelling are each other's inverse."""
    assert spelling_of(op_of(key, value)) == value


@every_spelling
def test_editors_accept_it(key: str, value: Any) -> None:
    """The JSON Schema has each word as the grammar has it."""
    Draft202012Validator(json_schema()).validate(spec_with(key, value))


@pytest.mark.parametrize("key", KEYS)
def test_the_reference_has_it(key: str) -> None:
    """Each kind stands in its table."""
    page = markdown()
    assert [kind for kind in kinds_of(key) if f"`{kind}`" not in page] == []


@pytest.mark.parametrize("key", KEYS)
def test_the_studio_proposes_it(key: str) -> None:
    """By itself, or as a mapping with what it needs."""
    labels = [proposal["label"] for proposal in complete(f"spec: 1\nblocks:\n  - {key}: ", "")]
    words = {label.removeprefix("{kind: ").partition(",")[0] for label in labels}
    assert set(kinds_of(key)) <= words


# ------------------------------------------------------------------ what is reported about it


@every_spelling
def test_tables_tell_its_numbers(key: str, value: Any) -> None:
    """Each number of an op stands in the row of its layer."""
    node = node_of(key, value)
    numbers = [v for name, v in vars(node.op).items() if type(v) is float and name not in {"momentum", "init"}]
    assert [v for v in numbers if f"{v:g}" not in describe(node)] == []


@every_spelling
def test_diagrams_draw_it_in_its_family(key: str, value: Any) -> None:
    assert family(node_of(key, value)) == key


# ------------------------------------------------------------------ what it computes


def layer_of(op: ops.Op, shape: tuple[int, ...]) -> Any:
    """An op without parameters as PyTorch computes it, of arrays (N, C, H, W)."""
    module = build_module(Graph("one", TensorType((shape[0], *shape[1:]))).then("op", op)).eval()

    def run(x: Array) -> Array:
        with torch.inference_mode():
            found: Array = module.to(torch.float64 if x.dtype == np.float64 else torch.float32)(
                torch.from_numpy(np.ascontiguousarray(x))
            ).numpy()
        return found

    return run


def computed() -> Iterator[ops.Op]:
    """The ops of words that have no parameters."""
    for key, value in SPELLINGS:
        op = op_of(key, value)
        if not op.parameters(TensorType((4, 9, 10))):
            yield op


@pytest.mark.parametrize("op", [op for op in computed() if isinstance(op, ops.Pointwise)], ids=repr)
def test_an_activation_computes_its_definition(op: ops.Pointwise) -> None:
    """And stays within its bounds, which it reaches."""
    x = np.concatenate([np.linspace(-60, 60, 2401), 10.0 ** np.arange(-9, 5), -(10.0 ** np.arange(-9, 5))])
    with np.errstate(over="ignore"):
        wanted = op.values(np, x)
    np.testing.assert_allclose(layer_of(op, (1, 1, x.size))(x.reshape(1, 1, 1, -1)).reshape(-1), wanted, 1e-9, 1e-15)
    low, high = op.bounds
    assert low <= wanted.min()
    assert wanted.max() <= high
    assert low == -np.inf or wanted.min() - low < 1e-3
    assert high == np.inf or high - wanted.max() < 1e-3


@pytest.mark.parametrize("op", [op for op in computed() if isinstance(op, ops.Pool2d)], ids=repr)
def test_a_pool_computes_its_definition(op: ops.Pool2d) -> None:
    """Without padding; with one the cells outside are of no account, or are counted as zeros."""
    plain = type(op)(**{**vars(op), "padding": Padding(), "ceil_mode": False})
    x = RNG.standard_normal((2, 4, 9, 10))
    windows = np.lib.stride_tricks.sliding_window_view(x, plain.kernel_size, (2, 3))
    wanted = plain.reduce(windows[:, :, :: plain.stride[0], :: plain.stride[1]], (-2, -1))
    np.testing.assert_allclose(layer_of(plain, (4, 9, 10))(x), wanted, 1e-12)


@pytest.mark.parametrize("op", [op for op in computed() if isinstance(op, ops.Pool2d)], ids=repr)
def test_what_passes_ask_of_a_pool_is_true(op: ops.Pool2d) -> None:
    """Whether one cell is kept, and whether more cells, all of them zero, change what it gives."""
    cells = np.array([[-2.0], [0.5]])
    assert np.array_equal(op.reduce(cells, (1,)), cells[:, 0]) == op.keeps
    more = np.array([0.5, 2.0, 0.0])
    assert (not np.allclose(op.reduce(more[:2], (0,)), op.reduce(more, (0,)))) == op.divides
    assert op.word in WORDS["pool"]
    assert WORDS["pool"][op.word].op is type(op)


@pytest.mark.parametrize("op", [*ops.global_pools()], ids=repr)
def test_a_global_pool_is_its_pool_over_the_whole_map(op: ops.GlobalPool2d) -> None:
    x = RNG.standard_normal((2, 4, 9, 10))
    assert op.windowed(TensorType((4, 9, 10))).whole() == op
    np.testing.assert_allclose(
        layer_of(op, (4, 9, 10))(x)[..., 0, 0], op.windowed(TensorType((4, 9, 10))).reduce(x, (2, 3)), 1e-12
    )


# ------------------------------------------------------------------ where it goes, and comes back


def plainly(op: ops.Op) -> bool:
    """True for what a function alone can show: without parameters, and a pool without padding."""
    return not op.parameters(TensorType((4, 9, 10))) and getattr(op, "padding", Padding()) == Padding()


@pytest.mark.parametrize(
    "op", [op for op in computed() if plainly(op) and not getattr(op, "ceil_mode", False)], ids=repr
)
def test_it_is_recognised_by_what_it_computes(op: ops.Op) -> None:
    """However a file or a module spells it."""
    layer = layer_of(op, (4, 9, 10))
    numbers = [v for v in vars(op).values() if type(v) is float]
    windows = [(op.kernel_size, op.stride)] if isinstance(op, ops.Pool2d) else []
    sizes = [op.size] if isinstance(op, ops.LocalResponseNorm) else []
    region = Region(lambda x, _: layer(x), {}, pointwise=isinstance(op, ops.Pointwise))
    hinted: list[Hinted] = [*window_pools(windows, numbers), *response_norms(sizes, numbers)]
    assert recognise(region, (2, 4, 9, 10), "here", hinted) == [op]


@every_spelling
@pytest.mark.parametrize("opset", [13, 17, 26])
def test_onnx_computes_it_and_it_comes_back(key: str, value: Any, opset: int, tmp_path: Path) -> None:
    """At the lowest, the usual and the highest opset; imported without the spec that the file carries."""
    network = network_of(key, value)
    model = network.initialise(seed=1)
    (data,) = make(model, "onnx", {"opset": opset, "without": tuple(PASSES)}).files.values()
    proto = onnx.load_model_from_string(data)
    del proto.metadata_props[:]
    path = tmp_path / "word.onnx"
    path.write_bytes(proto.SerializeToString())
    x = RNG.standard_normal((2, 3, 11, 12)).astype(np.float32)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = build_module(model).eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(session.run(["scores"], {"input": x})[0], wanted, 1e-4, 1e-6)
    if written_as_two(value):
        with pytest.raises(ForeignModelError, match="no equivalent of what this computes"):
            import_onnx(path)
    else:
        assert same(import_onnx(path)[0].network, network)


def written_as_two(value: Any) -> bool:
    """True for an average whose partial windows count padding: a pool and a share, which no importer reads as one."""
    return isinstance(value, dict) and bool(value.get("ceil_mode") and value.get("count_include_pad"))


@every_spelling
def test_torch_gives_it_back(key: str, value: Any) -> None:
    network = network_of(key, value)
    module = build_module(network.initialise(seed=1))
    assert same(import_module(module, (3, 11, 12)).network, network)


def same(found: Network, wanted: Network) -> bool:
    """Whether two networks are one function; a norm that comes back with what it lacks as ones or zeros is the same."""
    return semantic_hash(_affine(found.graph)) == semantic_hash(_affine(wanted.graph))


def _affine(graph: Graph) -> Graph:
    made = Graph("", graph.input)
    for node in graph:
        op = ops.BatchNorm(node.op.eps) if isinstance(node.op, ops.BatchNorm) else node.op
        made = made.then(node.name, op)
    return made
