"""`python -m regproxy`."""

from regproxy.cli import app

if __name__ == "__main__":
    app(prog_name="regproxy")
