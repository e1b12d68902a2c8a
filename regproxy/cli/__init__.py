"""The commands: thin shells over the same code that serves."""

from typing import Annotated

import typer

from regproxy import __version__
from regproxy.cli.admission import admission
from regproxy.cli.check import check
from regproxy.cli.client_config import client_config
from regproxy.cli.doctor import doctor
from regproxy.cli.explain import explain
from regproxy.cli.freeze import freeze, history, rollback, unfreeze
from regproxy.cli.node_config import app as node_config_app
from regproxy.cli.serve import serve
from regproxy.cli.store import app as store_app
from regproxy.cli.terminal.examples import examples
from regproxy.cli.warm import refresh, warm

_HELP = {"help_option_names": ["-h", "--help"]}

# Typer's decorated tracebacks print local variables, and with them secrets.
app = typer.Typer(name="regproxy", no_args_is_help=True, pretty_exceptions_enable=False, context_settings=_HELP)
app.command(epilog=examples("regproxy serve", "regproxy serve --config /etc/regproxy/regproxy.yaml"))(serve)
app.command(epilog=examples("regproxy check --config regproxy.yaml"))(check)
app.command(
    epilog=examples(
        "regproxy admission --certificate tls.crt --key tls.key --registry http://regproxy.example:5000 --own-namespace regproxy"
    )
)(admission)
app.command(epilog=examples("regproxy explain nginx:1.27", "regproxy explain ghcr.io/org/app:2 --admin http://regproxy.example:5001"))(
    explain
)
app.command(epilog=examples("regproxy freeze", "regproxy freeze nginx:1.27", "regproxy freeze 'docker.io/library/*'"))(freeze)
app.command(epilog=examples("regproxy unfreeze nginx:1.27"))(unfreeze)
app.command(epilog=examples("regproxy history nginx:1.27"))(history)
app.command(epilog=examples("regproxy rollback nginx:1.27", "regproxy rollback nginx:1.27 --to sha256:..."))(rollback)
app.command(
    epilog=examples(
        "regproxy client-config containerd --endpoint http://regproxy.example:5000 --apply",
        "regproxy client-config docker --endpoint http://regproxy.example:5000 --check",
        "regproxy client-config containerd --undo",
    )
)(client_config)
app.command(epilog=examples("regproxy doctor", "regproxy doctor containerd --endpoint http://regproxy.example:5000 --json"))(doctor)
app.command(
    epilog=examples(
        "regproxy warm nginx:1.27 ghcr.io/org/app:2",
        "kubectl get pods -A -o json | regproxy warm -",
        "helm template my-release my-chart | regproxy warm - --platform linux/arm64",
        "regproxy warm -f images.txt --no-wait",
    )
)(warm)
app.command(epilog=examples("regproxy refresh nginx:1.27"))(refresh)
app.add_typer(store_app)
app.add_typer(node_config_app, name="node-config")


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"regproxy {__version__}")
        raise typer.Exit


@app.callback()
def regproxy(
    *, _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False
) -> None:
    """Keep a copy of what container registries serve, and serve it."""
