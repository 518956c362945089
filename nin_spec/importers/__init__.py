"""Importers: networks of other tools brought into the language, with proof.

In the order of an import:

    own_file.py     a file of nin-spec's own, which carries its spec: unfolding.py gives the spec's weights of the
                    file's, same_graph.py compares the file with what they export to
    onnx_file.py    an ONNX file read without being believed: its constants, who uses which value
    onnx_check.py   what is checked before anything is computed; onnx_evaluate.py computes one node, within a budget
    budget.py       what an import may take: numbers made, time, and the cost of its proof
    onnx_input.py   what pictures it takes
    onnx_walk.py    along the one path from input to output
    onnx_rules.py   how each operator is read; beside it onnx_windows.py, and onnx_rulebook.py with what they share
    caffe_text.py   a Caffe net's text, with the place of each field; caffe_file.py has both of Caffe's files
    caffe_outline.py where each field of the text stands; caffe_forms.py which of the two forms it has
    caffe_wiring.py which of its layers run, along the one path; caffe_input.py tells what pictures it takes
    caffe_rules.py  how each of its layers is read, by the walk in caffe_walk.py
    caffe_fillers.py how its weights begin, and caffe_recipe.py what it says of rates and decay
    torch_constants.py what a module's program computes without its input: its weights
    torch_walk.py   a module's program, operator by operator
    torch_rules.py  how each of its operators is read
    regions.py      what has no operator of its own as a function, and the inputs that it is tried on
    onnx_regions.py nodes as such a function, torch_regions.py operators
    recognise.py    functions recognised by what they compute
    chain.py        what every front end finds: typed steps with their arrays
    padding.py      when padding before a maximum changes nothing
    rescaling.py    a change of scale by channel: in the layer before, or as a norm of its own
    tidy.py         pools in their plainest spelling
    blocks.py       blocks recognised in a chain, as a person would have set them apart
    head.py         the head: its pool, its dense layers
    spelling.py     each part in the language's shortest words
    names.py        names of blocks that a person gave in the original
    decompile.py    the shortest spec whose graph is the chain, and its model
    onnx_import.py  all of it, proved against the original, as torch_import.py has it for modules
    caffe_import.py the same for Caffe, against its definitions as caffe_reference.py computes them
    proof.py        what they share: the result must compute what the original computes
"""
