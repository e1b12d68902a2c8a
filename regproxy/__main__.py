"""`regproxy`, and `python -m regproxy`."""

import gc

gc.disable()  # until all is imported: next to none of it is garbage, and to look for that takes a tenth of the start

from regproxy.cli import app  # noqa: E402  not collected either


def main() -> None:
    """Run the command that the arguments name."""
    app(prog_name="regproxy")


if __name__ == "__main__":
    main()
