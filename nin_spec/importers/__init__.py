"""Importers: networks of other tools brought into the language, with proof.

In the order of an import:

    onnx_file.py    an ONNX file read without being believed: its constants, who uses which value
    onnx_walk.py    along the one path from input to output
    onnx_rules.py   how each operator is read
    recognise.py    what has no operator of its own, recognised by what it computes
    chain.py        what every front end finds: typed steps with their arrays
    tidy.py         pools in their plainest spelling
    blocks.py       blocks recognised in a chain, as a person would have set them apart
    head.py         the head: its pool, its dense layers
    spelling.py     each part in the language's shortest words
    decompile.py    the shortest spec whose graph is the chain, and its model
    onnx_import.py  all of it, proved against the original
"""
