"""Training: a spec's recipe followed to the letter, from data to a run folder.

In the order of a run:

    settings.py       what a person chooses beside the recipe: device, precision, threads, pieces of a batch
    sets.py           the pictures learned from and those scored on, shown to be usable before it begins
    launch.py         which processes torchrun, Slurm or MPI have started
    talk.py           plain data between them, through a key-value store or the caller's process group
    heartbeat.py      signs of life, so that a process that is stopped or killed is noticed
    world.py          the processes of a training, met
    devices.py        where and in which precision it computes
    batches.py        the pictures of each step, in the order and with the random changes of its epoch
    feed.py           from pictures to the network's input, on the device
    optimizer.py      the recipe's optimiser, its groups of parameters, its learning rates
    random_layers.py  dropout whose masks depend on seed and step alone
    parallel.py       what several processes share so that they compute what one would
    engine.py         module, optimiser and feed as the steps use them
    loop.py           the steps
    guard.py          dead starts, told early
    scoring.py        accuracy after each epoch
    reporter.py       who is told how it goes
    checkpoint.py     where a killed run goes on
    keeper.py         what is written, and when
    board.py          the rows for TensorBoard, as they come to be
    folder.py         the run folder: everything needed to repeat it
    finish.py         the curves at the end
    session.py        one training in one process: these parts put together, run, and noted
    begin.py          from a network to a run folder, begun or gone on with

Every random choice is a function of the seed and the step, so a run that was killed goes on to the
same weights as one that was not, and two processes draw what one draws.
"""
