"""Amazon ECR and STS, the instance metadata service (IMDSv2) and the EKS Pod Identity agent."""

import base64
import calendar
import json
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY, FakeCloud
from tests.fakes.clouds.signatures import fields_of, is_signed
from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, json_reply

_TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_XML = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><SessionToken>{token}</SessionToken><SecretAccessKey>{secret}</SecretAccessKey><Expiration>{end}</Expiration>
<AccessKeyId>{id}</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
_XML_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>No OpenIDConnect canary</Message></Error></ErrorResponse>"
)


class FakeAws(FakeCloud):
    """All of AWS that has to do with ECR, at one address."""

    role = "arn:aws:iam::123456789012:role/regproxy"
    web_token = "canary-web-identity-token"
    pod_token = "canary-pod-token"
    session = "canary-imds-session"
    roles = "regproxy-node"

    def __init__(self, clock: Callable[[], float], region: str = "eu-west-1") -> None:
        super().__init__(clock)
        self.region = region
        self.keys: dict[str, tuple[str, str | None]] = {ACCESS_KEY: (SECRET_KEY, None)}

    def temporary(self) -> dict[str, str]:
        """Make a temporary key."""
        number = len(self.keys)
        key = {"id": f"ASIATEMPORARY{number}", "secret": f"canary-secret+/{number}", "token": f"canary-session/{number}="}
        self.keys[key["id"]] = (key["secret"], key["token"])
        return key

    def said(self, entry: Entry) -> Reply | None:
        if entry.headers.get("x-amz-target") == _TARGET:
            return self._password(entry)
        if entry.path == "/latest/api/token":
            is_asked = entry.method == "PUT" and "x-aws-ec2-metadata-token-ttl-seconds" in entry.headers
            return Reply(200, (("Content-Type", "text/plain"),), self.session.encode()) if is_asked else Reply(400)
        if entry.path.startswith(_ROLES):
            return self._of_instance(entry)
        if entry.path == "/v1/credentials":
            return self._of_pod(entry)
        return self._assumed(entry) if entry.method == "POST" else None

    def _password(self, entry: Entry) -> Reply:
        """Amazon ECR API Reference: GetAuthorizationToken; Common Errors."""
        found = fields_of(entry)
        key, *scope = found.get("Credential", "").split("/")
        secret, token = self.keys.get(key, ("", None))
        moment = calendar.timegm(time.strptime(entry.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))
        if not secret or entry.headers.get("x-amz-security-token") != token:
            return self._refused("UnrecognizedClientException")
        if abs(moment - self.now()) > 300:
            return self._refused("InvalidSignatureException")
        if scope[1:] != [self.region, "ecr", "aws4_request"] or not is_signed(entry, secret):
            return self._refused("InvalidSignatureException")
        assert json.loads(entry.body) == {}
        authorization = base64.b64encode(f"AWS:{self.issue()}".encode()).decode()
        data = {"authorizationToken": authorization, "expiresAt": self.now() + self.lifetime, "proxyEndpoint": "https://evil.example"}
        return json_reply({"authorizationData": [data]})

    def _refused(self, code: str) -> Reply:
        return json_reply({"__type": f"com.amazon.coral.service#{code}", "message": "canary: the canonical string should have been"}, 400)

    def _of_instance(self, entry: Entry) -> Reply:
        if entry.headers.get("x-aws-ec2-metadata-token") != self.session:
            return Reply(401)
        if entry.path == _ROLES:
            return Reply(200, (("Content-Type", "text/plain"),), self.roles.encode()) if self.roles else Reply(404)
        key = self.temporary()
        names = {"AccessKeyId": key["id"], "SecretAccessKey": key["secret"], "Token": key["token"], "Expiration": self.end()}
        return json_reply({"Code": "Success", "Type": "AWS-HMAC", **names})

    def _of_pod(self, entry: Entry) -> Reply:
        if entry.headers.get("authorization") != self.pod_token:
            return Reply(400, body=b"Service account token cannot be empty")
        key = self.temporary()
        names = {"AccessKeyId": key["id"], "SecretAccessKey": key["secret"], "Token": key["token"], "Expiration": self.end()}
        return json_reply({**names, "AccountId": "123456789012"})

    def _assumed(self, entry: Entry) -> Reply:
        form = {name: values[0] for name, values in parse_qs(entry.body.decode()).items()}
        assert (form["Action"], form["Version"]) == ("AssumeRoleWithWebIdentity", "2011-06-15")
        assert "authorization" not in entry.headers
        if (form["RoleArn"], form["WebIdentityToken"]) != (self.role, self.web_token):
            return Reply(403, (("Content-Type", "text/xml"),), _XML_ERROR.format(code="AccessDenied").encode())
        return Reply(200, (("Content-Type", "text/xml"),), _XML.format(end=self.end(), **self.temporary()).encode())
