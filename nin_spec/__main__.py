"""`python -m nin_spec`: the command line, as `torchrun -m nin_spec train ...` starts it."""

from nin_spec.cli import main

main()
