"""Training: a spec's recipe followed to the letter, from data to a run folder.

In the order of a run:

    settings.py     what a person chooses beside the recipe: device, precision, processes
    batches.py      the pictures of each step, in the order and with the random changes of its epoch
    optimizer.py    the recipe's optimiser, its groups of parameters, its learning rates
    random_layers   dropout whose masks depend on seed and step alone
    parallel.py     several processes that compute what one would
    loop.py         the steps
    guard.py        dead starts, told early
    checkpoint.py   where a killed run goes on
    folder.py       the run folder: everything needed to repeat it
    begin.py        all of it, put together

Every random choice is a function of the seed and the step, so a run that was killed goes on to the
same weights as one that was not, and two processes draw what one draws.
"""
