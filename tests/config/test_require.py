"""Whose signatures images need, in the configuration."""

from pathlib import Path

import pytest

from regproxy.policy.requirement import Requirement, RequireMode
from tests.config.loaded import mistakes, settings, upstream
from tests.trust.signing import Signer


class TestRequire:
    """Images that have to be signed."""

    def test_n18_22_a_rule_is_for_repositories_and_names_keys(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "cosign.pub").write_bytes(Signer().pem)
        text = f"upstreams: {{docker.io: {{require: [{{match: 'library/*', keys: ['{tmp_path}/cosign.pub'], mode: warn}}]}}}}"
        found = settings(file, text)
        (rule,) = upstream(found, "docker.io").require
        assert rule == Requirement("library/*", (f"{tmp_path}/cosign.pub",), mode=RequireMode.WARN)
        assert found.effective()["upstreams"]["docker.io"]["require"] == [
            {"match": "library/*", "keys": [f"{tmp_path}/cosign.pub"], "identities": [], "trust_root": None, "mode": "warn"}
        ]

    @pytest.mark.parametrize(
        ("rule", "mistake"),
        [
            ("{}", "names nobody: keys or identities say who may sign"),
            ("{keys: [/nowhere/cosign.pub]}", "cannot be read: No such file or directory"),
            ("{keys: ['FILE']}", "cannot be used: no public key in PEM"),
            ("{match: 'library/app:1', keys: ['FILE']}", "a rule for tags would not hold for pulls by digest"),
            ("{identities: [{issuer: 'https://issuer', subject: me}]}", "needs identities and trust_root together"),
        ],
    )
    def test_n18_22_a_rule_that_could_not_hold_is_a_mistake(self, file: Path, rule: str, mistake: str) -> None:
        rule = rule.replace("FILE", str(file))  # which is no key
        found = mistakes(file, f"upstreams: {{docker.io: {{require: [{rule}]}}}}")
        assert any(mistake in line for line in found)
