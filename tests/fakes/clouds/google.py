"""The metadata server of Google Cloud, its STS, and IAM Credentials."""

from urllib.parse import parse_qs

from tests.fakes.clouds.cloud import FakeCloud
from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, json_reply

_METADATA = "/computeMetadata/v1/instance/service-accounts/"
ACCOUNT = "puller@project.iam.gserviceaccount.com"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
_FLAVOR = (("Metadata-Flavor", "Google"),)


class FakeGoogle(FakeCloud):
    """All of Google Cloud that issues access tokens, at one address."""

    subject_token = "canary-kubernetes-token"

    def said(self, entry: Entry) -> Reply | None:
        if entry.path.startswith(_METADATA):
            return self._of_metadata(entry)
        if entry.path == "/v1/token":
            return self._exchanged(entry)
        if entry.path == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken":
            return self._impersonated(entry)
        return None

    def federation(self, **changed: object) -> dict[str, object]:
        """Write a credential configuration, as gcloud does."""
        found: dict[str, object] = {
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/v1/token",
            "service_account_impersonation_url": f"{self.url}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken",
            **changed,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _of_metadata(self, entry: Entry) -> Reply:
        if entry.headers.get("metadata-flavor") != "Google":
            return Reply(403)
        if entry.path != f"{_METADATA}default/token":
            return Reply(404, _FLAVOR)
        return json_reply({"access_token": self.issue(), "expires_in": self.lifetime, "token_type": "Bearer"}, headers=_FLAVOR)

    def _exchanged(self, entry: Entry) -> Reply:
        form = {name: values[0] for name, values in parse_qs(entry.body.decode()).items()}
        if (form["audience"], form["subject_token"]) != (AUDIENCE, self.subject_token):
            return json_reply({"error": "invalid_grant", "error_description": f"canary {form['subject_token']}"}, 400)
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
        return json_reply({"access_token": self.issue(), "expires_in": int(self.lifetime), "token_type": "Bearer"})

    def _impersonated(self, entry: Entry) -> Reply:
        if entry.headers.get("authorization") != f"Bearer {self.issued[-1]}":
            return json_reply({"error": {"code": 403, "message": "canary", "status": "PERMISSION_DENIED"}}, 403)
        return json_reply({"accessToken": self.issue(), "expireTime": self.end()})
