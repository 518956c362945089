"""Importers: other tools' networks as specs, with proof.

In the order of an import:

    onnx/           an ONNX file -> a chain
    torch/          an nn.Module -> a chain
    caffe/          a Caffe net -> a chain
    contents.py     the bytes of a file
    budget.py       limits of an import: memory, time, and the cost of its proof
    regions.py      subgraphs without an operator, as functions, and their trial inputs
    recognise.py    functions recognised by their values
    clipping.py     the activation with the same bounds
    padding.py      when padding before a maximum changes nothing
    rescaling.py    a per-channel scale: folded into the layer before, or as a norm
    chain.py        what every front end finds: typed steps with their arrays
    decompiler/     a chain -> the shortest spec whose graph it is
    proof.py        checks that the result computes the same as the original
"""
