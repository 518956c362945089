"""A local page where a spec is written and its network seen: `nin-spec studio`.

A text is read (reading.py) and shown as HTML (panes.py) while it is typed into the page (page.py, editor.js),
by the editor that editor.py puts there, with completions from the JSON Schema (completion.py) for where the cursor
stands (place.py). workspace.py keeps the one file that may be written, conflict.py asks when another program has
changed it, downloads.py makes what can be taken away, guard.py lets nobody else in, and server.py runs it.
"""
