"""When a training ends before its last epoch: no better one in a while, or its time is over."""

from __future__ import annotations

from nin_spec.diagnostics import counted
from nin_spec.language.recipe import Recipe
from nin_spec.training.checkpoint import State

_MINUTE = 60.0


def without_patience(recipe: Recipe, state: State) -> str | None:
    """Why training ends if the validation accuracy has not risen for `patience` epochs, else None."""
    if recipe.patience is None or not state.rows:
        return None
    scores = [row["validation_accuracy"] for row in state.rows]
    since = len(scores) - 1 - scores.index(max(scores))
    if since < recipe.patience:
        return None
    return f"no better validation accuracy in {counted(recipe.patience, 'epoch')}"


def out_of_time(recipe: Recipe, state: State) -> str | None:
    """Why training ends if its time, over all that it was resumed, is over, else None."""
    if recipe.time_limit is None or state.seconds < recipe.time_limit * _MINUTE:
        return None
    return f"the time limit of {recipe.time_limit:g} minutes was reached"
