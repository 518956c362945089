"""A local web page that shows a spec's network while editing it: `nin-spec studio`.

The text typed into the page (page.py, editor.py, editor.js) is read (reading.py) and shown as HTML (panes.py), with
completions from the JSON Schema (completion.py) for the cursor's position (cursor.py). workspace.py manages the one
file that may be written, conflict.py handles changes by other programs, downloads.py creates downloads, guard.py denies
access to others, and server.py runs it.
"""
