"""Examples at the end of a command's help."""


def examples(*commands: str) -> str:
    """Lay out command lines, one below the other."""
    return "\n\n".join(["Examples:", *commands])
