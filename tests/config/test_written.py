"""The configuration as it is shown."""

import json
from pathlib import Path

from regproxy.config import load
from regproxy.oci.digest import Digest
from tests.config.loaded import settings


class TestEffective:
    """What `regproxy check` prints."""

    def test_it_is_a_configuration_that_comes_to_itself(self, file: Path) -> None:
        text = """
        listen: "[::1]:0"
        drain: 90s
        timeouts: {connect: 250ms}
        upstreams:
          quay.io: {serve_as: [a.io], hosts: [{url: http://a, prefix: b}], tags: [{policy: never}], deny: ["*"]}
          ghcr.io: {freeze: [{match: a}, {match: "b:1", digest: "%s"}]}
        """
        found = settings(file, text % Digest.of(b""))
        assert settings(file, found.as_yaml()) == found

    def test_it_can_be_said_in_json(self) -> None:
        found = load(None, {}).effective()
        assert json.loads(json.dumps(found)) == found
        assert found["upstreams"]["docker.io"]["tags"] == [
            {
                "match": "*",
                "policy": "always",
                "fresh_for": "5m",
                "stale_for": "7d",
                "missing_for": "10s",
                "cooldown": "0s",
                "cooldown_first": "serve",
                "gone_for": "0s",
            }
        ]
