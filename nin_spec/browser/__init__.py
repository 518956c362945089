"""A network as one HTML file that classifies pictures in the browser, offline.

runtime_files.py  onnxruntime-web's files: found, checked by hash, prepared for a page
pass_order.py     the order in which the installed Pillow scales, which the page follows
contents.py       what the page holds: the model, its facts, the diagram, and a policy that allows nothing else
exporter.py       the exporter `page`
"""
