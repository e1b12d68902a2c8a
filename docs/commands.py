"""Write deploy/man/regproxy.1 and deploy/completion: the manual page and the shells' completion, from the commands themselves.

`python -m docs.commands` writes them; `tests/docs/test_commands.py` fails where they are out of date.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import typer
from typer._click import Command, Context
from typer._completion_shared import get_completion_script
from typer.core import TyperGroup

from regproxy.cli import app

ROOT: Final = Path(__file__).parents[1]
MAN: Final = ROOT / "deploy" / "man" / "regproxy.1"
COMPLETION: Final = ROOT / "deploy" / "completion"

_NAME = "regproxy"
_HEAD = """\
.\\" Generated from the commands by python -m docs.commands. Edit those.
.TH REGPROXY 1 "" "regproxy" "User Commands"
.SH NAME
regproxy \\- a pull-through caching proxy for container registries
.SH SYNOPSIS
.B regproxy
\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]
.SH DESCRIPTION
regproxy keeps a copy of what container registries serve, and serves it to containerd, docker, podman and other clients.
.B regproxy serve
runs the server; the other commands ask a running server, or work on files.
.PP
.B regproxy \\-\\-version
prints the version,
.B regproxy \\-\\-show\\-completion
the completion of the shell that runs it.
.SH COMMANDS
"""
_TAIL = """\
.SH ENVIRONMENT
.TP
.B REGPROXY_CONFIG
The configuration file, as
.BR \\-\\-config .
.TP
.B REGPROXY_ADMIN
The admin port of a running server, as
.BR \\-\\-admin .
.TP
.B REGPROXY__SECTION__KEY
A setting; it wins over the configuration file. REGPROXY__STORE__ROOT is store.root.
.SH FILES
.TP
.I /etc/regproxy/regproxy.yaml
The configuration, where the service or the container image is used.
.TP
.I PREFIX/share/regproxy/regproxy.yaml
Every setting with its default and reason.
.TP
.I /var/lib/regproxy
The store.
.SH SIGNALS
.TP
.B SIGHUP
Read the configuration again, without a failed request.
.TP
.B SIGTERM
Finish what runs, then end.
.SH "EXIT STATUS"
0 for success, 1 where the answer is no or the machine is in the way, 2 for a mistake in the arguments or the configuration.
"""


def man_page() -> str:
    """Return the page in troff's man macros: every command with its arguments, options and examples."""
    group = typer.main.get_group(app)
    return _HEAD + "".join(_commands(group, group.make_context(_NAME, [], resilient_parsing=True))) + _TAIL


def completions() -> Mapping[str, str]:
    """Return what each shell reads, by the name of the file where it looks for it."""
    scripts = {
        shell: get_completion_script(prog_name=_NAME, complete_var="_REGPROXY_COMPLETE", shell=shell) + "\n"
        for shell in ("bash", "zsh", "fish")
    }
    # zsh runs the file at the first completion, which is to complete too.
    return {"regproxy": scripts["bash"], "_regproxy": scripts["zsh"] + "\n_regproxy_completion\n", "regproxy.fish": scripts["fish"]}


def _commands(group: TyperGroup, context: Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.commands[name]
        own = command.make_context(name, [], parent=context, resilient_parsing=True)
        if isinstance(command, TyperGroup):
            yield from _commands(command, own)
        else:
            yield "".join(_command(command, own))


def _command(command: Command, context: Context) -> Iterator[str]:
    records = [
        (parameter.param_type_name, *record) for parameter in command.get_params(context) if (record := parameter.get_help_record(context))
    ]
    arguments = [name.split()[0].upper() for kind, name, _ in records if kind == "argument"]
    yield f'.SS "{_plain(" ".join([context.command_path, "[OPTIONS]", *arguments]))}"\n{_plain(command.help or "")}\n'
    for kind, name, text in records:
        if "--help" not in name:
            shown = name.split()[0].upper() if kind == "argument" else name
            yield f".TP\n.B {_plain(shown)}\n{_plain(text)}\n"
    examples = [line for line in (command.epilog or "").splitlines()[1:] if line]
    if examples:
        yield ".PP\nExamples:\n.nf\n" + "".join(f".RS\n{_plain(line)}\n.RE\n" for line in examples) + ".fi\n"


def _plain(text: str) -> str:
    r"""Return *text* in one line for troff, where \, -, ' and . mean something."""
    line = re.sub(r"\s+", " ", text).strip().replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _write() -> None:
    MAN.parent.mkdir(parents=True, exist_ok=True)
    MAN.write_text(man_page())
    COMPLETION.mkdir(parents=True, exist_ok=True)
    for name, script in completions().items():
        (COMPLETION / name).write_text(script)


if __name__ == "__main__":
    _write()
