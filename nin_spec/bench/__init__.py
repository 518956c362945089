"""Bench: how fast a network runs, compared to other runtimes and to the machine's peak.

figures.py      medians, spreads and ratios of turns
subjects.py     what can be measured: a model, a run folder, an ONNX file
contenders.py   the table of contenders
worker.py       one contender in a separate process; runners.py, other_runtimes.py and peak.py are what it runs
process.py      how that process is started
sameness.py     checks that contenders compute the same, before measuring
schedule.py     the order of measurements, and the time left
contest.py      the modules above put together
results.py      the results, as data
machine.py      facts about the machine

Nothing is imported here: a worker's start is measured too.
"""
