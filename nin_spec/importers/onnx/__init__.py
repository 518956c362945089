"""ONNX files of any tool -> chains.

In the order of an import:

    importing.py    all of it, proved against the original
    file.py         untrusted reading of a file: its constants, and the users of each value
    check.py        what is checked before anything is computed
    branches.py     the branch that an If takes
    openness.py     what depends on the batch and the size that a file leaves open
    evaluate.py     one node computed, within a budget
    pools.py        pools of whole maps, which ONNX's reference takes window by window
    own_file.py     a file of nin-spec, which contains its spec
    unfolding.py    the spec's weights from those of such a file
    same_graph.py   such a file compared with what its spec exports to
    input.py        what pictures a file takes
    walk.py         the state of a walk along the graph
    rules.py        how each operator is read
    windows.py      those with windows
    rulebook.py     what the rules share
    regions.py      nodes as a function that may be recognised
    path.py         along the one path from input to output
"""
