"""PyTorch modules -> chains.

In the order of an import:

    importing.py    all of it, proved against the original
    walk.py         the state of a walk along a module's program
    constants.py    what the program computes without its input: its weights
    rules.py        how each operator is read
    regions.py      operators as a function that may be recognised
    path.py         along the program, operator by operator
"""
