"""The network's names in a file: with a common prefix, all of them or nearly all.

Wrappers add a prefix to every name: DataParallel `module.`, torch.compile `_orig_mod.`, a LightningModule the
attribute's name. Any prefix is accepted if the rest are exactly the network's names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nin_spec.diagnostics import nearest

Shapes = Mapping[str, tuple[int, ...]]

_LISTED = 10
"""Names that a message lists in full."""

_AVERAGES = ("ema", "swa", "averag", "shadow", "polyak")
"""Prefixes of words that mark a running average of the weights."""

WRAPPERS = ("", "state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Names that training scripts give to the trained weights, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A file's names compared to the network's after `prefix`.

    `missing` are only in the network; `surplus` have the prefix but are only in the file; `outside` are the file's
    names without the prefix, which belong to something else: a loss, an optimiser, another copy.
    """

    prefix: str
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    outside: tuple[str, ...]


def prefixes(names: Iterable[str], ours: Collection[str]) -> Counter[str]:
    """The number of the network's names with each prefix."""
    lengths = {len(name) for name in ours}
    found: Counter[str] = Counter()
    for name in names:
        found.update(name[:-n] for n in lengths if n <= len(name) and name[-n:] in ours)
    return found


def complete(names: Collection[str], ours: Collection[str]) -> list[str]:
    """The prefixes after which the names are exactly the network's; the rest may be complete copies."""
    if not ours:
        return []
    whole = [prefix for prefix, count in prefixes(names, ours).items() if count == len(ours)]
    copies = {prefix + name for prefix in whole for name in ours}
    return [prefix for prefix in whole if all(name in copies for name in names if name.startswith(prefix))]


def nearly(names: Collection[str], ours: Collection[str]) -> Fit | None:
    """The fit for the most common prefix of the network's names; None if it covers less than half of them."""
    found = prefixes(names, ours).most_common(1)
    if not found or 2 * found[0][1] < len(ours):
        return None
    return fit(names, ours, found[0][0])


def fit(names: Collection[str], ours: Collection[str], prefix: str) -> Fit:
    """A file's names compared to the network's, after a prefix."""
    inside = {name[len(prefix) :] for name in names if name.startswith(prefix)}
    return Fit(
        prefix,
        tuple(name for name in ours if name not in inside),
        tuple(name for name in names if name.startswith(prefix) and name[len(prefix) :] not in ours),
        tuple(name for name in names if not name.startswith(prefix)),
    )


def by_suffix(names: Collection[str], ours: Collection[str]) -> dict[str, str] | None:
    """Our names to the file's, if each of these ends with a different one of ours, after any prefix.

    For example, a network whose blocks and head are in two modules has two prefixes.
    """
    lengths = sorted({len(name) for name in ours}, reverse=True)
    found: dict[str, str] = {}
    for name in names:
        own = next((name[-n:] for n in lengths if n <= len(name) and name[-n:] in ours), None)
        if own is None or own in found:
            return None
        found[own] = name
    return {name: found[name] for name in ours} if len(found) == len(ours) else None


def preferred(labels: Sequence[str]) -> int | None:
    """The preferred of several copies, by their names.

    None if ambiguous. The weights are preferred to an average of them, and a name in WRAPPERS to any other.
    """
    ranks = sorted((_rank(label), k) for k, label in enumerate(labels))
    if len(ranks) > 1 and ranks[0][0] == ranks[1][0]:
        return None
    return ranks[0][1]


def _rank(label: str) -> tuple[bool, int]:
    bare = label.rstrip("./")
    return is_average(label), WRAPPERS.index(bare) if bare in WRAPPERS else len(WRAPPERS)


def is_average(label: str) -> bool:
    """Whether a name marks averaged weights: `model_ema`, `swa_model`."""
    return any(word.startswith(_AVERAGES) for word in re.findall("[a-z]+", label.lower()))


def explain(found: Fit, theirs: Shapes, ours: Shapes) -> tuple[str, str | None]:
    """Why a file whose names are mostly the network's does not fit, with suggested names."""
    wrong = [name for name in ours if name not in found.missing and theirs[found.prefix + name] != ours[name]]
    right = len(ours) - len(found.missing) - len(wrong)
    said = [f"{right} of {len(ours)} tensors are right"]
    if found.missing:
        said.append(f"it lacks {listed([found.prefix + name for name in found.missing])}")
    if found.surplus:
        said.append(f"{listed(found.surplus)} {'is' if len(found.surplus) == 1 else 'are'} not the network's")
    said += [
        f"{found.prefix}{name} has the shape {show(theirs[found.prefix + name])}, in the spec {show(ours[name])}"
        for name in wrong[:_LISTED]
    ]
    if 2 * right < len(ours):
        return "; ".join(said), "the file is probably of another network: pass the weights of this one"
    return "; ".join(said), "; ".join(_meant(found, theirs, ours)) or None


def _meant(found: Fit, theirs: Shapes, ours: Shapes) -> Iterator[str]:
    """For each surplus name, the missing name of the same shape that was probably meant."""
    for name in found.surplus[:_LISTED]:
        alike = [missing for missing in found.missing if ours[missing] == theirs[name]]
        near = nearest(name[len(found.prefix) :], alike)
        if near is not None:
            yield f"{name} may be {found.prefix}{near}"


def listed(names: Sequence[str], limit: int = _LISTED) -> str:
    """`a, b and 3 more`."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


def show(shape: tuple[int, ...]) -> str:
    """`64x3x5x5`."""
    return "x".join(map(str, shape)) or "a single number"
