"""Sweeps: a family of networks, judged by the compiler, trained within a budget, and the best as a spec.

In the order of a sweep:

    schema.py      the grammar of a sweep file
    axes.py        the space: choices, ranges, conditions, `$names`
    objectives.py  what can be minimised or maximised
    load.py        text -> a checked sweep, with positions
    rows.py        what is known of one trial
    candidates.py  parameters -> a compiled network; limits, and a look at the space
    plan.py        what a sweep will cost
    folder.py      the sweep folder, from which the same command resumes
    store.py       Optuna's study: storage, sampler, pruner, and trials that a lost process left
    measure.py     speed and size of a trained candidate's exported file
    trial.py       one trial: judged, trained, measured
    worker.py      a process that runs one trial after the other
    manager.py     the process that starts them, and replaces those that die
    results.py     all trials of a sweep, the front, the best
    best.py        the best as a spec that extends the base
    confirm.py     the best trained again with other seeds
    begin.py       from a sweep file to its results, in one call

Samplers, pruners and storages are Optuna's (the extra `sweep`), loaded on first use.
"""
