"""How we are known to clients by TLS, and how they may have to be known to us."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from regproxy.config.model import Model, Whole

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class ServerTls(Model):
    """The certificate of a port of ours, its key, and the authority that its clients must be vouched for by, all in PEM files."""

    certificate: Whole = Field(description="The certificate and its chain, a PEM file.")
    key: Whole = Field(description="Its private key, a PEM file without a password.")
    client_ca: Whole | None = Field(
        default=None, description="Only clients with a certificate of this authority are served. None: everybody."
    )

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))

    def context(self) -> ssl.SSLContext:
        """Make a context of what the files hold now; raise `ValueError` where that cannot be used."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            for path in self.files:
                path.read_bytes()  # ssl does not say which file it could not read
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except ssl.SSLError as error:
            raise ValueError(_explained(error)) from error
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from error
        return context

    def own_context(self) -> ssl.SSLContext:
        """Make a context for reaching this port from its own machine, by whatever address: its certificate is trusted, and shown."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.check_hostname = False  # the certificate names what clients call us
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it, not who signed it
        context.load_cert_chain(self.certificate, self.key, password=_no_password)
        return context

    def ends_at(self) -> float:
        """Return when the certificate's time is over, in epoch seconds."""
        return self._leaf().not_valid_after_utc.timestamp()

    def _leaf(self) -> "Certificate":
        from cryptography import x509  # noqa: PLC0415  9 MB that who has no certificate does without

        return x509.load_pem_x509_certificates(self.certificate.read_bytes())[0]

    def caution(self, now: datetime) -> str | None:
        """Return why clients will refuse the certificate, if its time is over or has not come."""
        leaf = self._leaf()
        if now > leaf.not_valid_after_utc:
            return f"{self.certificate} expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
        if now < leaf.not_valid_before_utc:
            return f"{self.certificate} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}"
        return None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.context()
        return self


def cautions(*ports: ServerTls | None) -> list[str]:
    """Return what is no mistake, but no client will take."""
    now = datetime.now(UTC)
    return [caution for tls in ports if tls is not None and (caution := tls.caution(now)) is not None]


def _no_password() -> str:
    raise ValueError("has a key with a password: nobody is there to type it")


def _explained(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return "has a key that does not belong to the certificate"
        case reason:
            return f"is not PEM that OpenSSL takes: {reason or error}"
