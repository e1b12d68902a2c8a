"""`regproxy`, and `python -m regproxy`."""

import gc
import os

gc.disable()  # until all is imported: next to none of it is garbage, and to look for that takes a tenth of the start

# pydantic would read of every package that is installed whether it is a plugin of pydantic's
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from regproxy.cli import app  # noqa: E402  not collected either


def main() -> None:
    """Run the command that the arguments name."""
    app(prog_name="regproxy")


if __name__ == "__main__":
    main()
