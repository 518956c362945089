"""Import an nn.Module, with proof."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from nin_spec.importers.budget import check_cost
from nin_spec.importers.chain import Array, Chain, reading, refusal
from nin_spec.importers.decompiler.decompile import Imported, decompile
from nin_spec.importers.proof import TOLERANCE, Proof, compare_all, trial_pictures
from nin_spec.importers.torch.constants import held_by
from nin_spec.importers.torch.path import follow
from nin_spec.importers.torch.regions import name_of
from nin_spec.importers.torch.walk import BATCH, TorchWalk
from nin_spec.ir.types import DType, TensorType

_CASTS = {"aten.to", "aten._to_copy"}
_TOLERANCES = {torch.float64: 1e-6, torch.float32: TOLERANCE}
"""Largest difference from the module, relative to its largest value."""


_CHEAPER = "pass a smaller input_shape"


def import_module(module: nn.Module, input_shape: Sequence[int], name: str | None = None) -> Imported:
    """The spec and the model of a module that takes batches of (C, H, W), proved against it.

    `input_shape` is (C, H, W), or with a batch before it. The module is not modified, except that lazy layers get their
    shapes. Only its forward is run.

    Raises:
        ForeignModelError: a network that the language can't express; names the layer.
        ParityError: the result does not compute the same.
    """
    if not isinstance(module, nn.Module):
        raise refusal(type(module).__name__, "it is not an nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise refusal(type(module).__name__, "a TorchScript module", "pass the original nn.Module")
    origin = name or type(module).__name__
    training = module.training
    with reading(origin):
        try:
            return _import(module.eval(), input_shape, origin)
        finally:
            module.train(training)


def _import(module: nn.Module, input_shape: Sequence[int], name: str) -> Imported:
    """The same, within the boundary that turns what a library raises into a diagnostic."""
    shape = tuple(int(n) for n in input_shape)
    shape = shape[1:] if len(shape) == 4 else shape
    if len(shape) != 3 or min(shape) < 1:
        raise refusal("input_shape", f"{tuple(input_shape)} is not a picture", "pass (channels, height, width)")
    check_cost(Chain(name, TensorType(shape)), BATCH, name, _CHEAPER)
    program = _program(module, shape, name)
    chain = _chain(program, module, shape, name)
    check_cost(chain, BATCH, name, _CHEAPER)
    found = decompile(chain)
    proof = _prove(module, found, found.network.graph.input.maps(), _dtype_of_proof(program, module))
    return replace(found, proof=proof)


def _program(module: nn.Module, shape: tuple[int, ...], name: str) -> torch.export.ExportedProgram:
    """What the module's forward does, operator by operator."""
    parameter = _parameter(module)
    dtype = parameter.dtype if parameter.is_floating_point() else torch.float32
    example = torch.zeros((BATCH, *shape), dtype=dtype, device=parameter.device)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            module(example)  # gives lazy layers their shapes
            # Hooks that compute a weight set it on the module; PyTorch warns of that, and puts it back.
            warnings.filterwarnings("ignore", "The tensor attribute")
            program = torch.export.export(module, (example,), strict=False)
    except Exception as error:  # a module's forward may raise anything
        raise refusal(name, f"it can't be traced on an input of shape {tuple(example.shape)}: {error}") from error
    for node in list(program.graph.nodes):
        if name_of(node) == "aten._assert_tensor_metadata":  # what a cast expects of its input
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()  # the indices of maxima, as a rule
    return program


def _parameter(module: nn.Module) -> torch.Tensor:
    """One of the module's parameters, for its dtype and device."""
    return next(iter(module.parameters()), torch.zeros(()))


def _dtype(parameter: torch.Tensor) -> torch.dtype:
    """The dtype of a module's network: float64 or float32."""
    return parameter.dtype if parameter.dtype == torch.float64 else torch.float32


def _dtype_of_proof(program: torch.export.ExportedProgram, module: nn.Module) -> torch.dtype:
    """float64, in which rounding hides nothing; the module's own where its forward casts, and needs that one."""
    casts = any(name_of(node) in _CASTS for node in program.graph.nodes)
    return _dtype(_parameter(module)) if casts else torch.float64


def _chain(program: torch.export.ExportedProgram, module: nn.Module, shape: tuple[int, ...], name: str) -> Chain:
    """The chain of a program. Raises ForeignModelError."""
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        raise refusal(name, "it has more than one input or output, but a classifier has one of each")
    start = next(n for n in program.graph.nodes if n.op == "placeholder" and n.name == signature.user_inputs[0])
    kind: DType = "float64" if _dtype(_parameter(module)) == torch.float64 else "float32"
    return follow(TorchWalk(program, Chain(name, TensorType(shape, kind)), start, held_by(program)))


def _prove(module: nn.Module, found: Imported, shape: tuple[int, int, int], dtype: torch.dtype) -> Proof:
    """Both in `dtype` on inputs of several scales. Raises ParityError."""
    from nin_spec.torch_module import build_module

    device = _parameter(module).device
    original, made = copy.deepcopy(module).to(dtype), build_module(found.model).to(dtype)

    def theirs(x: Array) -> Array:
        with torch.no_grad():
            (scores,) = tree_leaves(original(torch.from_numpy(x).to(device, dtype)))
        found: Array = scores.cpu().double().numpy()
        return found

    def ours(x: Array) -> Array:
        with torch.no_grad():
            scores: Array = made(torch.from_numpy(x).to(dtype)).double().numpy()
        return scores

    return compare_all(trial_pictures(shape, BATCH, None), ours, theirs, "the module", _TOLERANCES[dtype])
