"""The commands, as an operator's shell sees them."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from regproxy import __version__
from regproxy.cli import app
from regproxy.config import load
from regproxy.config.units import size
from tests.fakes.authority import Authority
from tests.free_port import free_port

SECRET = "canary horse battery staple"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "regproxy.yaml"


def ran(*arguments: str | Path, **environ: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"REGPROXY__STORE__HIGH_WATERMARK": None, **environ})


def test_version_is_told() -> None:
    result = ran("--version")
    assert (result.exit_code, result.stdout) == (0, f"regproxy {__version__}\n")


def test_check_prints_what_the_configuration_comes_to(file: Path) -> None:
    file.write_text("log_level: debug\nstore: {root: /data}")
    result = ran("check", "--config", file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout) == load(file, {}).effective()


def test_check_warns_of_a_certificate_that_no_client_will_take(file: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server", days=-1)
    file.write_text(f"tls: {{certificate: {pair.certificate}, key: {pair.key}}}")
    result = ran("check", "--config", file)
    assert (result.exit_code, result.stderr.startswith(f"warning: {pair.certificate} expired on ")) == (0, True)


def test_n17_23_check_warns_of_private_content_that_members_exchange_in_clear_text(file: Path) -> None:
    quay = 'upstreams: {quay.io: {credentials: {username: bob, password: "${SECRET}"}}}'
    file.write_text(f"{quay}\nfleet: {{peers: ['http://127.0.0.1:5000'], key: 0123456789abcdef0123456789abcdef}}")
    result = ran("check", "--config", file, SECRET=SECRET)
    warning = "warning: private content of quay.io goes between members of the fleet in clear text: see tls\n"
    assert (result.exit_code, result.stderr) == (0, warning)


def test_n17_03_check_says_where_this_machine_is_none_of_the_fleet(file: Path) -> None:
    """Which is right on a laptop: it is a warning, and one line."""
    file.write_text("fleet: {peers: ['http://198.51.100.1:5000', 'http://198.51.100.2:5000'], key: 0123456789abcdef0123456789abcdef}")
    result = ran("check", "--config", file)
    warning = "warning: fleet.advertise: auto finds no address of this machine and the port of 0.0.0.0:5000 in fleet.peers: "
    assert (result.exit_code, result.stderr) == (0, f"{warning}this is right unless it is a member\n")
    assert yaml.safe_load(result.stdout) == load(file, {}).effective()


def test_check_without_a_file_prints_the_defaults() -> None:
    result = ran("check", REGPROXY__STORE__ROOT="/data")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout) == load(None, {"REGPROXY__STORE__ROOT": "/data"}).effective()


def test_check_hides_secrets(file: Path) -> None:
    file.write_text('upstreams: {quay.io: {credentials: {username: bob, password: "${SECRET}"}}}')
    result = ran("check", "--config", file, SECRET=SECRET)
    assert result.exit_code == 0
    assert SECRET not in result.output
    assert "***" in result.stdout


@pytest.mark.parametrize("command", ["check", "serve"])
def test_mistakes_are_told_line_by_line_and_nothing_is_done(command: str, file: Path) -> None:
    file.write_text("stor: {}\ndrain: 5")
    result = ran(command, "--config", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"{file}: drain: '5' is not a duration such as 250ms, 5s, 5m, 12h or 7d",
        f"{file}: stor: unknown key; did you mean store?",
    ]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_file_may_be_named_by_the_environment(command: str, file: Path) -> None:
    result = ran(command, REGPROXY_CONFIG=str(file))
    assert (result.exit_code, result.stderr) == (2, f"{file}: cannot be read: No such file or directory\n")


def test_an_option_goes_before_the_environment(file: Path, tmp_path: Path) -> None:
    file.touch()
    assert ran("check", "--config", file, REGPROXY_CONFIG=str(tmp_path / "none")).exit_code == 0


def test_the_module_is_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "regproxy", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"regproxy {__version__}\n"


def test_a_command_imports_nothing_for_the_sake_of_others() -> None:
    code = """
import sys
from regproxy.cli import app
try:
    app(["check"], prog_name="regproxy")
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())
    assert yaml.safe_load(done.stdout)["listen"] == str(load(None, {}).listen)
    assert {"regproxy.cli.check", "regproxy.config"} <= imported
    assert not {"regproxy.cli.serve", "regproxy.cli.store", "regproxy.runtimes", "regproxy.nodes", "aiohttp", "rich"} & imported


def test_garbage_is_not_looked_for_among_what_is_imported_and_is_once_a_command_runs() -> None:
    code = """
import gc
import regproxy.__main__
from regproxy.cli import app
app(["--version"], standalone_mode=False)
print(gc.isenabled())
app(["check"], standalone_mode=False)
print(gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:2] == [f"regproxy {__version__}", "False"]
    assert done.stdout.splitlines()[-1] == "True"


def test_a_command_that_does_not_exist_is_told_what_it_may_be() -> None:
    result = ran("serv", COLUMNS="200")
    assert (result.exit_code, "Did you mean 'serve'" in result.stderr) == (2, True)


def test_a_machine_in_the_way_is_told_in_one_line(file: Path, tmp_path: Path) -> None:
    """The configuration is right, so the status is another than for mistakes in it."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "photo.jpg").write_bytes(b"mine")
    file.write_text(f"listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nstore: {{root: {tmp_path / 'precious'}}}")
    done = subprocess.run(
        [sys.executable, "-m", "regproxy", "serve", "--config", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"regproxy cannot serve: {tmp_path}/precious is not empty and not a store of regproxy: give it a directory of its own\n"
    )
    assert (tmp_path / "precious" / "photo.jpg").read_bytes() == b"mine"


def test_n13_06_a_port_in_use_is_named_without_a_number_of_the_system(file: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:0\nstore: {{root: {tmp_path / 'store'}}}")
        done = subprocess.run(
            [sys.executable, "-m", "regproxy", "serve", "--config", file], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == f"regproxy cannot serve: cannot listen at 127.0.0.1:{port}: Address already in use\n"


def test_n17_03_a_fleet_that_lists_other_machines_only_is_a_mistake_that_stops_the_start(file: Path, tmp_path: Path) -> None:
    port, key = free_port(), "0123456789abcdef0123456789abcdef"
    fleet = f"fleet: {{peers: ['http://198.51.100.1:{port}'], key: {key}}}"
    file.write_text(f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:0\nstore: {{root: {tmp_path / 'store'}}}\n{fleet}")
    done = subprocess.run(
        [sys.executable, "-m", "regproxy", "serve", "--config", file], capture_output=True, text=True, timeout=60, check=False
    )
    told = f"fleet.peers: no member has an address of this machine and the port of 127.0.0.1:{port}: see fleet.advertise\n"
    assert (done.returncode, done.stderr) == (2, told)


COMMANDS = [[], ["serve"], ["check"], ["explain"], ["freeze"], ["unfreeze"], ["store"], *(["store", name] for name in
            ("ls", "du", "show", "rm", "pin", "unpin", "gc", "verify", "rebuild", "export", "import", "backup", "restore"))]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_n13_06_every_command_helps_by_h_too_with_an_example(command: list[str]) -> None:
    result = ran(*command, "-h", COLUMNS="200")
    assert result.exit_code == 0
    if command not in ([], ["store"]):
        assert f"regproxy {' '.join(command)}" in result.stdout.partition("Examples:")[2]
    if command in (["explain"], ["freeze"], ["unfreeze"]) or (command[:1] == ["store"] and len(command) > 1):
        assert "--admin" in result.stdout
        assert "REGPROXY_ADMIN" in result.stdout


def test_n13_06_shells_complete() -> None:
    assert "--show-completion" in ran("--help", COLUMNS="200").stdout


@pytest.mark.parametrize(
    ("text", "count"), [("200GB", 200 * 10**9), ("1.5TB", 15 * 10**11), ("64 MB", 64 * 10**6), ("64MiB", 2**26), ("2kB", 2000)]
)
def test_n13_06_sizes_are_taken_in_either_kind_of_units(text: str, count: int) -> None:
    assert size(text) == count
