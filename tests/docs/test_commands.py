"""The manual page and the shells' completion: what the commands say now, and what the programs that read them take."""

import os
import subprocess
import sys
from pathlib import Path

from docs.commands import COMPLETION, MAN, completions, man_page
from tests.clients.programs import program

OUT_OF_DATE = "write it anew: python -m docs.commands"


def test_n15_08_the_manual_page_is_what_the_commands_say() -> None:
    assert MAN.read_text() == man_page(), OUT_OF_DATE


def test_n15_08_completion_is_what_the_shells_get() -> None:
    assert {path.name: path.read_text() for path in COMPLETION.iterdir()} == completions(), OUT_OF_DATE


def test_n15_08_groff_has_nothing_to_say_about_the_page() -> None:
    plain = ["-P-c", "-P-b", "-P-o", "-P-u"]  # no colours, and nothing printed twice
    command: list[str | Path] = [program("groff", "groff-base"), "-man", "-ww", "-Tascii", *plain, MAN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for word in ("serve", "client-config", "store", "doctor", "admission", "SIGHUP", "REGPROXY_CONFIG"):
        assert word in done.stdout


def test_n15_08_bash_completes_commands_and_options() -> None:
    script = f"""
        source {COMPLETION / "regproxy"}
        complete -p regproxy >/dev/null || exit 1
        COMP_WORDS=(regproxy store ve) COMP_CWORD=2
        _regproxy_completion regproxy; echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(regproxy explain --ad) COMP_CWORD=2
        _regproxy_completion regproxy; echo "${{COMPREPLY[@]}}"
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([program("bash", "bash"), "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["verify", "--admin"]
