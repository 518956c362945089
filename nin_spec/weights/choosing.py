"""Choose the state dict that fits among those of a checkpoint, with remarks on the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nin_spec.diagnostics import Code, WeightsError
from nin_spec.ir.graph import Graph
from nin_spec.weights.adopt import Adoption, adopt
from nin_spec.weights.naming import is_average, listed, preferred, prefixes
from nin_spec.weights.state import Checkpoint, StateDict


def choose(found: Checkpoint, graph: Graph) -> Adoption:
    """The weights of a checkpoint under the graph's names, from the state dict that fits.

    The network's own names are preferred to others, the weights to an average of them. Raises WeightsError if none
    fits, about the nearest one, or if the choice is ambiguous.
    """
    fitting: list[tuple[StateDict, Adoption]] = []
    errors: list[tuple[int, WeightsError]] = []
    for state in found.states:
        file = f"{found.name} ({state.label})" if len(found.states) > 1 and state.label else found.name
        try:
            adoption = adopt(
                state.tensors,
                graph,
                file,
                ordered=found.ordered,
                metadata=found.metadata,
                unusable=state.unusable,
            )
        except WeightsError as error:
            errors.append((max(prefixes(state.tensors, graph.parameters()).values(), default=0), error))
        else:
            fitting.append((state, adoption))
    if not fitting:
        raise max(errors, key=lambda item: item[0])[1]
    state, adoption = _best(found, fitting)
    fit = [other.label for other, _ in fitting if other is not state]
    unfit = [other.label for other in found.states if all(other is not one for one, _ in fitting)]
    remarks = [*found.remarks, *_chosen(state, fit, unfit), *_beside(state, adoption), *adoption.remarks]
    return replace(adoption, remarks=tuple(remarks))


def _best(found: Checkpoint, fitting: list[tuple[StateDict, Adoption]]) -> tuple[StateDict, Adoption]:
    by_name = [item for item in fitting if item[1].by_name] or fitting
    chosen = preferred([state.label for state, _ in by_name])
    first = by_name[0][1].weights
    if chosen is None and not all(_equal(first, adoption) for _, adoption in by_name):
        labels = ", ".join(state.label for state, _ in by_name)
        message = f"{found.name} has {len(by_name)} state dicts that fit; which one to use is ambiguous: {labels}"
        raise WeightsError(Code.WEIGHTS_MISMATCH, message, hint=_alone(by_name[0][0].label))
    return by_name[chosen or 0]


def _equal(first: dict[str, np.ndarray], adoption: Adoption) -> bool:
    return all(np.array_equal(first[name], array) for name, array in adoption.weights.items())


def _alone(label: str) -> str:
    keys = "".join(f"[{key!r}]" for key in label.split("."))
    return f"save only the intended one: torch.save(torch.load(FILE){keys}, 'one.pt')"


def _chosen(state: StateDict, fit: list[str], unfit: list[str]) -> Iterator[str]:
    """Which state dict was used, if there was a choice or it is an average."""
    averaged = ", averaged weights" if is_average(state.label) else ""
    if fit:
        others = listed([_called(label) for label in fit])
        yield f"of {len(fit) + 1} state dicts that fit, used {_called(state.label)}{averaged}, not {others}"
        yield f"for another, {_alone(fit[0])}"
    elif unfit or averaged:
        yield f"used the state dict {_called(state.label)}{averaged}"
    if unfit:
        yield f"ignored {listed([_called(label) for label in unfit])}: not this network's"


def _called(label: str) -> str:
    return label or "at the top"


def _beside(state: StateDict, adoption: Adoption) -> Iterator[str]:
    """Remarks on the entries beside the tensors that were used."""
    if "n_averaged" in state.counters:
        count = state.counters["n_averaged"]
        none = "" if count else ": nothing was averaged yet"
        yield f"averaged weights, n_averaged is {count}{none}"
    elif adoption.prefix and is_average(adoption.prefix):
        yield f"averaged weights: those with the prefix {adoption.prefix!r}"
    rest = [name for name in (*state.counters, *state.others) if name != "n_averaged"]
    if rest:
        yield f"ignored {listed(rest)}, which are not weights"
