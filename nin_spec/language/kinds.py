"""The keys that are kept when a mapping changes its kind: those that mean the same for both."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from nin_spec.language.parts import Activation, Init, Norm, Pool, Resize
from nin_spec.language.recipe import Optimizer, Schedule
from nin_spec.language.validate import models_in

UNIONS: dict[str, Any] = {
    "norm": Norm,
    "activation": Activation,
    "pool": Pool,
    "init": Init,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "resize": Resize,
}
"""The mappings with a kind, by their key."""


@cache
def shared(key: str, old: str, new: str) -> frozenset[str]:
    """The keys that both kinds have with the same type, default and description; none for an unknown kind.

    So a max pool that becomes an average pool keeps its window, but Adam does not inherit SGD's learning rate, which is
    orders of magnitude larger and has no default.
    """
    before, after = (model_of(key, kind) for kind in (old, new))
    if before is None or after is None:
        return frozenset()
    fields = before.model_fields.items()
    return frozenset(k for k, field in fields if k != "kind" and k in after.model_fields and _same(field, after, k))


def model_of(key: str, kind: str) -> Any:
    """The model of a kind under a key of UNIONS; None for an unknown kind."""
    models = models_in(UNIONS[key])
    return next((m for m in models if kind in get_args(m.model_fields["kind"].annotation)), None)


def _same(field: Any, model: Any, key: str) -> bool:
    other = model.model_fields[key]
    return all(getattr(field, at) == getattr(other, at) for at in ("annotation", "default", "description"))
