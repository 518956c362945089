"""Importers: networks of other tools brought into the language, with proof.

In the order of an import:

    onnx/           an ONNX file -> a chain
    torch/          an nn.Module -> a chain
    caffe/          a Caffe net -> a chain
    contents.py     the bytes of a file
    budget.py       what an import may take: numbers made, time, and the cost of its proof
    regions.py      what has no operator of its own as a function, and the inputs that it is tried on
    recognise.py    functions recognised by what they compute
    clipping.py     the activation that clips at the same ends
    padding.py      when padding before a maximum changes nothing
    rescaling.py    a change of scale by channel: in the layer before, or as a norm of its own
    chain.py        what every front end finds: typed steps with their arrays
    decompiler/     a chain -> the shortest spec whose graph it is
    proof.py        the result must compute what the original computes
"""
