"""`make gpu`: what a machine with an NVIDIA GPU can certify, in eight minutes.

rows.py         the table of rows: what each runs, what it needs, how long it may take
certify.py      runs them one after another, each in a process with a time limit
wheels.py       installs a folder of wheels beside the Python that is there
page.py         the JSON file and the Markdown page, written after each row
child.py        the process of a row; found.py is what it reports
survey.py       the row `doctor`
conformity.py   the rows on what the devices compute: conformance, int8, CUDA graphs, TensorRT
speed.py        the rows on speed: inference and training beside their peers

The first four use only Python's own library: with a package missing, they still say which.
"""
