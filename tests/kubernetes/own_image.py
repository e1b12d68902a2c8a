"""regproxy as a container image: this Python, what regproxy needs of its packages, and the libraries they load. Nothing is downloaded."""

import hashlib
import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

from tests.clients.content import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Blob, document, index, manifest

_PACKAGES = "opt/regproxy"
_TOOLS = ("install", "test", "cat", "sh")  # what the chart runs beside Python
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")  # without any, no object store can be opened
_UNUSED = {"test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "dist-packages", "turtledemo"}
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nregproxy:x:10001:10001::/var/lib/regproxy:/bin/sh\n",
    "etc/group": "root:x:0:\nregproxy:x:10001:\n",
}
_RUN = "#!/usr/local/bin/python3\nfrom regproxy.__main__ import main\nmain()\n"


def own_image() -> tuple[Blob, Blob, Blob]:
    """Build the layer, the config and the manifest, as the Dockerfile has them."""
    layer = Blob(OCI_LAYER, _layer())
    settings = document(
        OCI_CONFIG,
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": "10001:10001",
                "Env": ["PATH=/usr/local/bin:/bin", f"PYTHONPATH=/{_PACKAGES}"],
                "Entrypoint": ["regproxy"],
                "Cmd": ["serve"],
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        },
    )
    return layer, settings, manifest(OCI_MANIFEST, settings, [layer])


def archive(name: str, blobs: Iterable[Blob], top: Blob) -> bytes:
    """Pack an image under *name* as `ctr images import` takes it (image-spec, "Image Layout")."""
    described = {"annotations": {"io.containerd.image.name": name}, "platform": {"os": "linux", "architecture": "amd64"}}
    named = index([top.descriptor | described])
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": named.body}
    files |= {f"blobs/sha256/{hashlib.sha256(blob.body).hexdigest()}": blob.body for blob in (*blobs, top)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as written:
        for path, body in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(body)
            written.addfile(member, io.BytesIO(body))
    return packed.getvalue()


def _layer() -> bytes:
    packed = io.BytesIO()
    python = Path(sys.executable).resolve()
    files = {path: path for path in _standard_library()}
    files |= {Path("/", _PACKAGES, to): path for to, path in _installed()}
    tools = [Path(found) for tool in _TOOLS if (found := shutil.which(tool))]
    files |= {Path("/bin", tool.name): tool for tool in tools}
    files[python] = python
    files[_AUTHORITIES] = _AUTHORITIES
    loaded = [python, *tools, *(path for path in files.values() if ".so" in path.suffixes)]
    files |= {library: library for library in _libraries(loaded)}
    with tarfile.open(fileobj=packed, mode="w") as written:
        made: set[str] = set()
        for to, path in files.items():
            _add(written, made, str(to).lstrip("/"), path)
        for name, text in (_ACCOUNTS | {"usr/local/bin/regproxy": _RUN}).items():
            _directories(written, made, name)
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            written.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("usr/local/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(python)
        written.addfile(link)
        for name, mode in (("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("var/lib", 0o755)):
            _directories(written, made, f"{name}/", mode)
        store = tarfile.TarInfo("var/lib/regproxy")
        store.type, store.mode, store.uid, store.gid = tarfile.DIRTYPE, 0o750, 10001, 10001
        written.addfile(store)
    return packed.getvalue()


def _standard_library() -> Iterator[Path]:
    folder = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).parts
        if path.is_file() and not _UNUSED & set(inner) and not inner[0].startswith("config-"):
            yield path


def _installed() -> Iterator[tuple[str, Path]]:
    """Yield what regproxy requires, and itself, by the place below the packages' directory."""
    source = Path(__file__).parents[2] / "regproxy"
    for path in source.rglob("*"):
        if path.is_file():
            yield f"regproxy/{path.relative_to(source)}", path
    seen, wanted = set(), ["regproxy"]
    while wanted:
        name = re.sub("[-_.]+", "-", wanted.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for each in distribution.files or []:
            path = Path(str(distribution.locate_file(each)))
            if path.is_file() and ".." not in each.parts and not each.name.startswith("__editable__"):
                yield str(each), path
        required = map(Requirement, distribution.requires or [])
        wanted += [each.name for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]


def _libraries(programs: Iterable[Path]) -> set[Path]:
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", told) if "linux-vdso" not in found}


def _add(written: tarfile.TarFile, made: set[str], name: str, path: Path) -> None:
    _directories(written, made, name)
    member = tarfile.TarInfo(name)
    member.size, member.mtime = path.stat().st_size, int(path.stat().st_mtime)
    member.mode = 0o755 if path.stat().st_mode & 0o100 or ".so" in path.name else 0o644
    with path.open("rb") as content:
        written.addfile(member, content)


def _directories(written: tarfile.TarFile, made: set[str], name: str, mode: int = 0o755) -> None:
    """Make what *name* is in, open to everybody: this Python may be in a home directory."""
    parts = name.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if folder not in made:
            made.add(folder)
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, mode if depth == len(parts) else 0o755
            written.addfile(member)
