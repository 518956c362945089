"""Conformance: whether a device computes what the language means, op by op.

grammar.py   every word of the grammar, in each spelling
pools.py     every form of pool with windows
covering.py  few rows in which every combination of two values occurs
cases.py     a case: a small spec
suite.py     all cases
place.py     the device, the facts that verdicts depend on, the precisions to prove
trial.py     one case: exported, run, compared
verdict.py   exact, refused or wrong
worker.py    the process that runs cases
run.py       workers, and the verdicts as they come
results.py   the table, and the file that a run resumes from
"""
