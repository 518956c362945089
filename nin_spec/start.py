"""The start of the command line, before any slow imports."""


def start() -> None:
    """Run the command line."""
    from nin_spec.interrupts import leave_at_once

    leave_at_once()
    from nin_spec.cli import main

    main()
