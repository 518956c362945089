"""`python -m nin_spec`: the command line, as `torchrun -m nin_spec train ...` starts it."""

import sys

# `-m` puts the working folder first on the path, where a file called click.py would be taken for the package.
if not sys.flags.safe_path:
    del sys.path[0]

from nin_spec.start import start

start()
