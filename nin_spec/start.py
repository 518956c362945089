"""The first lines of the command line, before anything is loaded that takes time."""


def start() -> None:
    """Run the command line."""
    from nin_spec.interrupts import leave_at_once

    leave_at_once()
    from nin_spec.cli import main

    main()
