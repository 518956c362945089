"""The decompiler: from a chain to the shortest spec.

In the order of an import:

    tidy.py         pools in their plainest spelling
    blocks.py       divides a chain into blocks
    head.py         the head: its pool, its dense layers
    names.py        names of blocks that a person gave in the original
    spelling.py     each part in the language's shortest words
    decompile.py    all of it: the shortest spec whose graph is the chain, and its model
"""
