"""Caffe nets -> chains, without Caffe.

In the order of an import:

    importing.py    all of it, proved against Caffe's definitions
    file.py         both of Caffe's files as layers of one form
    outline.py      the position of each field in a net's text
    forms.py        which of its two forms a net has
    text.py         the text as a message, with the place of each field
    proto/          Caffe's format
    wiring.py       which layers run, along the one path
    input.py        what pictures a net takes
    walk.py         the state of a walk along the layers
    rules.py        how each layer is read
    fillers.py      how its weights begin
    path.py         layer by layer, along the path
    recipe.py       what it says of rates and decay
    reference.py    Caffe's definitions, computed
"""
