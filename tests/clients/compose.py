"""docker-compose on a machine of its own, with a docker daemon whose images are made of programs that are here: no registry is asked."""

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from tests.docs.blocks import ROOT
from tests.kubernetes.machine import Computer
from tests.kubernetes.own_image import own_image

from .go_programs import go_program
from .processes import Daemon, is_accepting
from .programs import program, require_root

_NUMBER = 100 + os.getpid() % 100  # of the machine's network: those of Kubernetes' nodes are low, and another test run has its own
_FOLDERS = ("tmp", "proc", "sys", "dev", "etc", "run")
_SETTINGS = {
    "regproxy": ('ENTRYPOINT ["regproxy"]', 'CMD ["serve"]', "ENV PATH=/usr/local/bin:/bin PYTHONPATH=/opt/regproxy", "USER 10001:10001"),
    "others": ("ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin",),
}
_OTHERS = (
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("nginx", "nginx-light"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
)
_CHANGED = {  # in docker-compose.yml: what names an image there, and which of ours takes its place
    "REGPROXY_IMAGE": "regproxy",
    "REDIS_IMAGE": "others",
    "NGINX_IMAGE": "others",
    "S3_IMAGE": "others",
    "PROMETHEUS_IMAGE": "others",
}


class Compose:
    """The services of docker-compose.yml."""

    def __init__(self, folder: Path, profile: str) -> None:
        """Keep everything below *folder*, whose path is short."""
        require_root()
        self._compose = program("docker-compose", "docker-compose")
        self._docker = program("docker", "docker.io")
        self._profile = profile
        self._folder = folder
        self.machine = Computer(folder, _NUMBER, own=("run",))
        self._host = f"unix://{folder / 'sock'}"
        places: list[str | Path] = ["--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
        self._command = [program("dockerd", "docker.io"), "--host", self._host, *places]
        self._daemon: Daemon | None = None

    def start(self) -> None:
        """Start the daemon, and make the images."""
        self.machine.start()
        self._daemon = Daemon(self.machine.command(*self._command), self._folder / "log")
        self._daemon.start(lambda: is_accepting(self._folder / "sock"))
        self.override({})
        self._make(
            "others", _of_programs([*(program(*each) for each in _OTHERS), go_program("versitygw"), Path("/bin/sh"), Path("/bin/cat")])
        )
        self._make("regproxy", own_image()[0].body)

    def override(self, document: Mapping[str, object]) -> None:
        """Have *document* beside docker-compose.yml."""
        (self._folder / "overrides.yml").write_text(yaml.safe_dump(document))

    def stop(self) -> None:
        if self._daemon is not None:
            self.run("down", "--volumes", "--timeout=0")
            self._daemon.stop()
        self.machine.stop()

    def run(self, *words: str) -> str:
        """Run docker-compose; raise `RuntimeError` with what it says where it fails."""
        files: list[str | Path] = [
            "--file",
            ROOT / "docker-compose.yml",
            "--file",
            self._folder / "overrides.yml",
            "--project-directory",
            ROOT,
        ]
        return self._run([self._compose, *files, "--project-name=rp", "--profile", self._profile, *words])

    def docker(self, *words: str, given: bytes = b"") -> str:
        return self._run([self._docker, *words], given)

    def _make(self, name: str, layer: bytes) -> None:
        changes = [word for setting in _SETTINGS[name] for word in ("--change", setting)]
        self.docker("import", *changes, "-", name, given=layer)

    def _run(self, command: Iterable[str | Path], given: bytes = b"") -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_HOST": self._host, "HOME": str(self._folder), **_CHANGED}
        words = [str(each) for each in command]
        done = subprocess.run(words, input=given, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-4000:]}")
        return done.stdout.decode()

    def states(self) -> dict[str, str]:
        """Return the state of each service."""
        found = self.docker("ps", "--all", "--format", '{"{{.Label "com.docker.compose.service"}}": "{{.State}}"}')
        return {service: state for line in found.splitlines() for service, state in json.loads(line).items()}


def _of_programs(programs: Iterable[Path]) -> bytes:
    """Pack programs, by the paths that images have them at, and the libraries they load."""
    packed = io.BytesIO()
    paths = {Path("/usr/local/bin", each.name) if "regproxy-clients" in str(each) else each: each for each in programs}
    told = subprocess.run(["ldd", *paths.values()], capture_output=True, text=True, check=False).stdout
    paths |= {Path(found): Path(found) for found in re.findall(r"(/\S+) \(0x", told)}
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as written:
        for name in _FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            written.addfile(folder)
        for to, path in paths.items():
            written.add(path, str(to))
    return packed.getvalue()
