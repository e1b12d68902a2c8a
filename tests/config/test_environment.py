"""What the environment says in place of the configuration."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from regproxy.config import ConfigError, load
from regproxy.config.environment import default_root
from regproxy.policy.credential import Credential, Secret
from tests.config.loaded import settings, upstream


class TestEnvironment:
    """`REGPROXY__...` overrides any key."""

    @pytest.mark.parametrize(
        "name",
        [
            "REGPROXY__UPSTREAMS__DOCKER.IO__HOSTS__0__PREFIX",
            "REGPROXY__UPSTREAMS__DOCKER_IO__HOSTS__0__PREFIX",
            "regproxy__upstreams__docker.io__hosts__0__prefix",
        ],
        ids=["dots as they are", "dots as a shell can write them", "lower case"],
    )
    def test_a_variable_overrides_a_key_of_a_built_in_upstream(self, name: str) -> None:
        assert upstream(load(None, {name: "hub"}), "docker.io").hosts[0].prefix == "hub"

    def test_a_variable_goes_before_the_file(self, file: Path) -> None:
        environ = {"REGPROXY__STORE__ROOT": "/b", "REGPROXY__TIMEOUTS__CONNECT": "1s"}
        found = settings(file, "store: {root: /a}\ntimeouts: {headers: 1s}", environ)
        assert (found.store.root, found.timeouts.connect, found.timeouts.headers) == (Path("/b"), 1.0, 1.0)

    def test_an_empty_variable_counts_as_not_set(self) -> None:
        assert load(None, {"REGPROXY__LOG_LEVEL": ""}) == load(None, {})

    def test_a_value_is_taken_as_it_stands(self) -> None:
        prefix = "REGPROXY__UPSTREAMS__QUAY.IO__CREDENTIALS__"
        found = load(None, {prefix + "USERNAME": "bob", prefix + "PASSWORD": "'${HOME}' #1"})
        assert upstream(found, "quay.io").hosts[0].credential == Credential("bob", Secret("'${HOME}' #1"))

    def test_an_exact_key_goes_before_a_similar_one(self, file: Path) -> None:
        text = "upstreams: {a-b.c: {hosts: [{url: http://x}]}, a.b.c: {hosts: [{url: http://y}]}}"
        found = settings(file, text, {"REGPROXY__UPSTREAMS__A.B.C__HOSTS__0__URL": "http://z"})
        assert [upstream(found, name).hosts[0].url for name in ("a-b.c", "a.b.c")] == ["http://x", "http://z"]

    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            ("REGPROXY__LOG_LEVEL", "loud", "REGPROXY__LOG_LEVEL: log_level: 'loud' is not one of debug, info, warning, error"),
            ("REGPROXY__STORE__ROT", "/x", "REGPROXY__STORE__ROT: store.rot: unknown key; did you mean root?"),
            ("REGPROXY__STOER__ROOT", "/x", "REGPROXY__STOER__ROOT: stoer: unknown key; did you mean store?"),
            (
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__1__URL",
                "http://x",
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__1__URL: '1' is not the number of an item: the list has 1, counted from 0",
            ),
            (
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__0__URL__X",
                "x",
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__0__URL__X: there is nothing to put 'x' into: its parent is a single value",
            ),
        ],
        ids=["a bad value", "an unknown key", "an unknown group", "no such item", "below a value"],
    )
    def test_a_mistake_names_its_variable(self, name: str, value: str, line: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load(None, {name: value})
        assert caught.value.mistakes == [line]


class TestStoreRoot:
    """Where content is kept when nobody says."""

    def test_it_is_the_systems_place_where_that_can_be_made(self, tmp_path: Path) -> None:
        assert default_root({"HOME": "/home/bob"}, tmp_path / "lib" / "regproxy") == tmp_path / "lib" / "regproxy"

    @pytest.mark.parametrize(
        ("environ", "root"),
        [
            ({"HOME": "/home/bob"}, "/home/bob/.cache/regproxy"),
            ({"HOME": "/home/bob", "XDG_CACHE_HOME": "/fast"}, "/fast/regproxy"),
            ({"HOME": "/home/bob", "XDG_CACHE_HOME": "fast"}, "/home/bob/.cache/regproxy"),
        ],
        ids=["no XDG", "XDG", "XDG ignores relative paths"],
    )
    def test_it_is_the_users_cache_directory_otherwise(self, file: Path, environ: Mapping[str, str], root: str) -> None:
        file.touch()
        assert default_root(environ, file / "nothing can be made below a file") == Path(root)

    def test_without_a_home_the_systems_place_is_all_there_is(self, file: Path) -> None:
        file.touch()
        assert default_root({}, file / "lib") == file / "lib"
