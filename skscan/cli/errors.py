"""Exit codes, and the ways in which a command ends early."""

FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130


class WrongUse(Exception):  # noqa: N818 - it is what the user reads, not a defect
    """The command as typed cannot work: a missing folder, no image in it, k above their number."""


class CommandFailed(Exception):  # noqa: N818
    """The command was right, but its work cannot be done; the message says why."""


class OutputClosed(Exception):  # noqa: N818
    """Whoever read stdout has gone away, as ``head`` does when it has seen enough."""
