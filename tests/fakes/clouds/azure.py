"""The metadata service of Azure, Microsoft Entra ID, and the exchange of a registry."""

import base64
import json
from urllib.parse import parse_qs

from tests.fakes.clouds.cloud import FakeCloud
from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, json_reply

RESOURCE = "https://containerregistry.azure.net"
CLIENT, TENANT = "11111111-client", "22222222-tenant"


class FakeAzure(FakeCloud):
    """All of Azure that has to do with a registry, at one address."""

    federated_token = "canary-federated-token"
    entra_token = "canary-entra-token"

    def said(self, entry: Entry) -> Reply | None:
        path = entry.path.partition("?")[0]
        if path == "/metadata/identity/oauth2/token":
            return self._managed(entry)
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self._workload(entry)
        return self._exchanged(entry) if path == "/oauth2/exchange" else None

    def _managed(self, entry: Entry) -> Reply:
        if entry.headers.get("metadata") != "true" or entry.query["resource"] != [RESOURCE]:
            return json_reply({"error": "invalid_request", "error_description": "canary"}, 400)
        if entry.query.get("client_id", [CLIENT]) != [CLIENT]:
            return json_reply({"error": "invalid_request", "error_description": "Identity not found"}, 400)
        return json_reply({"access_token": self.entra_token, "expires_in": "86399", "token_type": "Bearer"})

    def _workload(self, entry: Entry) -> Reply:
        form = {name: values[0] for name, values in parse_qs(entry.body.decode()).items()}
        if form["client_assertion"] != self.federated_token or form["client_id"] != CLIENT:
            return json_reply(
                {"error": "invalid_client", "error_description": f"AADSTS70021: no match for {form['client_assertion']}"}, 401
            )
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert (form["grant_type"], form["scope"]) == ("client_credentials", f"{RESOURCE}/.default")
        return json_reply({"access_token": self.entra_token, "expires_in": 3599, "token_type": "Bearer"})

    def _exchanged(self, entry: Entry) -> Reply:
        form = {name: values[0] for name, values in parse_qs(entry.body.decode()).items()}
        assert (form["grant_type"], form["service"]) == ("access_token", self.host)
        if form["access_token"] != self.entra_token or form.get("tenant", TENANT) != TENANT:
            return json_reply({"errors": [{"code": "UNAUTHORIZED", "message": "canary"}]}, 401)
        claims = base64.urlsafe_b64encode(json.dumps({"exp": int(self.now() + self.lifetime)}).encode()).decode().rstrip("=")
        return json_reply({"refresh_token": f"eyJ9.{claims}.{self.issue()}"})
