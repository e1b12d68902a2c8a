"""Tables in Markdown."""

from collections.abc import Sequence


def markdown(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Write a table: its first column says what each line is about, the others hold figures."""
    written = [f"| {' | '.join(map(str, line))} |" for line in (head, *lines)]
    return "\n".join([written[0], f"|---|{'---:|' * (len(head) - 1)}", *written[1:]])
