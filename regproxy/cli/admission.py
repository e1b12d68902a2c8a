"""`regproxy admission`: the webhook that judges and pins the images of Pods."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from regproxy.cli.configuration import UNUSABLE, ConfigFile, loaded
from regproxy.cli.terminal.examples import examples
from regproxy.config.tls import ServerTls
from regproxy.config.units import address
from regproxy.policy.routing import Routes

app = typer.Typer()

_CANNOT_START = 1  # exit status: the configuration is right, the machine is in the way


@app.command(
    epilog=examples(
        "regproxy admission --certificate tls.crt --key tls.key --registry http://regproxy.example:5000 --own-namespace regproxy"
    )
)
def admission(
    config: ConfigFile = None,
    *,
    certificate: Annotated[Path, typer.Option(metavar="FILE", help="The certificate that the API server is shown, PEM.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Its key.")],
    listen: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the API server asks.")] = "0.0.0.0:8443",
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The cache that says what tags mean: http://regproxy.example:5000. Without it, nothing is pinned."
        ),
    ] = None,
    own_namespace: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A namespace that is left alone, as kube-system is; may be repeated.")
    ] = None,
) -> None:
    """Serve an admission webhook: deny the Pods whose pulls are denied, and pin tags to digests."""
    settings = loaded(config)
    from regproxy.admission.review import Exemptions  # noqa: PLC0415
    from regproxy.admission.server import Webhook, run  # noqa: PLC0415  an HTTP stack that other commands need not wait for

    exempted = Exemptions(Exemptions().namespaces | set(own_namespace or ()))
    webhook = Webhook(Routes(settings.upstreams, settings.default_upstream), exempted, registry)
    try:
        run(webhook, address(listen), ServerTls(certificate=certificate, key=key), typer.echo)
    except ValidationError as error:
        typer.echo(f"the certificate {certificate} {error.errors()[0]['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(UNUSABLE) from None
    except (OSError, ValueError) as error:
        typer.echo(f"regproxy cannot serve the webhook: {error}", err=True)
        raise typer.Exit(_CANNOT_START) from None
