"""Bench: how fast a network runs here, beside its peers and beside what the machine can do.

figures.py      medians, spreads and ratios of laps
subjects.py     what can be measured: a model, a run folder, an ONNX file
contenders.py   the table of who can compute it
worker.py       one contender in a process of its own; runners.py and peak.py are what it runs
process.py      that process, as seen from here
sameness.py     whether contenders compute the same, before any time is taken
schedule.py     who is measured when, and how long it will take
contest.py      all of it, put together
results.py      what came of it, as data
machine.py      where it was measured

Nothing is imported here: a worker's start is measured too.
"""
