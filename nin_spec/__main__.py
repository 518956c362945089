"""`python -m nin_spec`: the command line, also for `torchrun -m nin_spec train ...`."""

import sys

# `-m` puts the current folder first on the path, where a file click.py would shadow the package.
if not sys.flags.safe_path:
    del sys.path[0]

from nin_spec.start import start

start()
