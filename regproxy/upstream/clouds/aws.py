"""Keys of AWS: given, or temporary ones for a Kubernetes service account (IRSA, EKS Pod Identity) or an instance (IMDSv2).

Sources: AWS SDKs and Tools Reference Guide, "Container credential provider" and "IMDS credential provider"; AWS STS API Reference,
AssumeRoleWithWebIdentity; Amazon EC2 User Guide, "Use the Instance Metadata Service".
"""

import html
import re
from typing import assert_never
from urllib.parse import parse_qsl, unquote, urlsplit

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import AccessKey, CloudRequest, canonical_query
from regproxy.policy.clouds.sources import AwsIdentity, Ecr
from regproxy.policy.credential import Secret
from regproxy.policy.routing import Host
from regproxy.policy.upstream.tokens import is_token
from regproxy.ports import Unavailable, UnexpectedResponse
from regproxy.upstream.clouds.issuer import text_of, token_in
from regproxy.upstream.clouds.service import CloudAnswer, CloudService

_METADATA = "the EC2 metadata service (IMDSv2)"
_AGENT = "the EKS Pod Identity agent"
_STS = "AWS STS"
_FORM = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")
_ROLE = re.compile(r"[\w+=,.@-]{1,128}")  # IAM: names of roles
_ROLES = "/latest/meta-data/iam/security-credentials/"
_HOPS = "in a container it needs HttpPutResponseHopLimit 2, or network access to the host; or choose another identity"


class AwsKeys:
    """Asks for the keys by which requests are signed."""

    def __init__(self, source: Ecr, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._source = source
        self._service: CloudService | None = None
        match source.identity:
            case AwsIdentity.KEYS:
                pass
            case AwsIdentity.WEB_IDENTITY:
                self._service = CloudService(_STS, source.sts_endpoint, host, clock)
            case AwsIdentity.POD_IDENTITY:
                origin = urlsplit(source.credentials_url)._replace(path="", query="", fragment="").geturl()
                self._service = CloudService(_AGENT, origin, host, clock, is_metadata=True)
            case AwsIdentity.INSTANCE:
                self._service = CloudService(_METADATA, source.metadata_endpoint, host, clock, is_metadata=True)
            case _ as never:
                assert_never(never)

    async def get(self) -> AccessKey:
        """Return a key that is good now; raise `UpstreamError`."""
        source, service = self._source, self._service
        if service is None:
            if source.key is None:
                raise Unavailable("there is no access key of AWS")
            return source.key
        match source.identity:
            case AwsIdentity.WEB_IDENTITY:
                return await self._of_web_identity(service)
            case AwsIdentity.POD_IDENTITY:
                return await self._of_pod(service)
            case _:
                return await self._of_instance(service)

    async def close(self) -> None:
        if self._service is not None:
            await self._service.close()

    async def _of_web_identity(self, sts: CloudService) -> AccessKey:
        token = await token_in(self._source.token_file, "the service account (IRSA)")
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._source.role_arn,
            "RoleSessionName": "regproxy",
            "WebIdentityToken": token,
        }
        request = CloudRequest("POST", sts.host, headers=(_FORM,), body=canonical_query(form).encode())
        answer = await sts.ask(request)
        if answer.status != 200:
            raise answer.failure(
                f"the role {self._source.role_arn}",
                "check the role's trust policy, its OIDC provider, and the annotation of the service account",
            )
        return _key_of_xml(answer)

    async def _of_pod(self, agent: CloudService) -> AccessKey:
        token = await token_in(self._source.token_file, "the Pod (EKS Pod Identity)")
        parts = urlsplit(self._source.credentials_url)
        path, query = unquote(parts.path) or "/", tuple(parse_qsl(parts.query))
        answer = await agent.ask(CloudRequest("GET", agent.host, path, query, (("authorization", token),)))
        if answer.status != 200:
            raise answer.failure("keys", "check the Pod Identity association of the service account, and that the agent runs on this node")
        return _key(answer, answer.document())

    async def _of_instance(self, metadata: CloudService) -> AccessKey:
        lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", "60")
        try:
            answer = await metadata.ask(CloudRequest("PUT", metadata.host, "/latest/api/token", headers=(lifetime,)))
        except Unavailable as error:
            raise Unavailable(f"{error}: {_HOPS}", timed_out=error.timed_out) from error
        session = answer.body.decode(errors="replace").strip()
        if answer.status != 200 or not is_token(session):
            raise answer.failure("a session", "is the metadata service enabled for this instance (HttpEndpoint)?")
        header = ("x-aws-ec2-metadata-token", session)
        answer = await metadata.ask(CloudRequest("GET", metadata.host, _ROLES, headers=(header,)))
        if answer.status != 200:
            raise answer.failure("the name of a role", "this instance has no role: attach an instance profile, or choose another identity")
        role = answer.body.decode(errors="replace").partition("\n")[0].strip()
        if not _ROLE.fullmatch(role):
            raise UnexpectedResponse(f"{_METADATA} named a role that cannot be one")
        answer = await metadata.ask(CloudRequest("GET", metadata.host, f"{_ROLES}{role}", headers=(header,)))
        document = answer.document() if answer.status == 200 else {}
        if document.get("Code", "Success") != "Success" or answer.status != 200:
            raise answer.failure(f"keys of the role {role}", "check the instance profile")
        return _key(answer, document)


def _key(answer: CloudAnswer, document: object) -> AccessKey:
    """Read a temporary key as both metadata services write it."""
    secret, token = text_of(answer, document, "SecretAccessKey"), text_of(answer, document, "Token")
    return AccessKey(text_of(answer, document, "AccessKeyId"), Secret(secret), Secret(token))


def _key_of_xml(answer: CloudAnswer) -> AccessKey:
    """Read a temporary key as STS writes it; what is an entity in XML is none in a key."""
    text = answer.body.decode(errors="replace")
    found = {name: re.search(rf"<{name}>([^<]{{1,16384}})</{name}>", text) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
    texts = {name: html.unescape(match[1].strip()) for name, match in found.items() if match}
    return _key(answer, {**texts, "Token": texts.get("SessionToken")})
