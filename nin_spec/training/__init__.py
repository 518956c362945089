"""Training: runs a spec's recipe, from a data set to a run folder.

In the order of a run:

    settings.py       settings beside the recipe: device, precision, threads, micro-batches
    sets.py           the pictures for training and scoring, checked before it starts
    launch.py         the processes that torchrun, Slurm or MPI have started
    collectives.py    plain data between them, through a key-value store or the caller's process group
    heartbeat.py      heartbeats, which detect a process that is stopped or killed
    world.py          the connected processes of a training
    devices.py        the device and the precision
    draws.py          the random choices of an epoch
    augmentation.py   random changes to pictures
    mixing.py         mixup and cutmix
    batches.py        the pictures of each step, shuffled and augmented
    feed.py           from pictures to the network's input, on the device
    carrying.py       the weights of a file, whole or under a new head
    freezing.py       layers that no step changes
    optimizer.py      the recipe's optimiser, parameter groups and learning rates
    random_layers.py  dropout with masks that depend on seed and step only
    parallel.py       shared weights, gradients and batch norms: several processes compute what one would
    loss.py           cross-entropy, of weighted classes and mixed pictures
    average.py        a moving average of the weights
    engine.py         module, optimiser and feed of the steps
    ending.py         when a training ends before its last epoch
    loop.py           the steps
    guard.py          early warnings of dead starts
    scoring.py        accuracy after each epoch
    reporter.py       the interface of progress reporters
    checkpoint.py     the state from which a run resumes
    checkpointer.py   what is written, and when
    board.py          the rows for TensorBoard
    folder.py         the run folder: everything needed to repeat it
    runs.py           the runs below a folder, side by side
    run_difference.py two runs compared
    evaluated.py      evaluations stored in the run folder
    finish.py         the curves at the end
    session.py        one training in one process: the modules above put together
    begin.py          from a network to a run folder, started or resumed

Every random choice is a function of the seed and the step, so a resumed run reaches the same weights as an
uninterrupted one, and two processes draw what one draws.
"""
