"""What the documentation shows: fenced blocks, and code within its sentences and within the comments of files for operators."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMENTED = sorted(
    [
        *ROOT.glob("config/*.yaml"),
        *(path for path in ROOT.glob("deploy/*") if path.suffix in {".sh", ".service", ".socket", ".yml"}),
        *(ROOT / name for name in ("Dockerfile", "Makefile", "docker-compose.yml", ".ci/run")),
    ]
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_PROGRAMS = ("regproxy", "make", "python", "docker", "curl", "skopeo")
_COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(_PROGRAMS)})(?: .+)?", re.DOTALL)


class Block(NamedTuple):
    """A piece of code, where it stands, and what it is said to be: yaml, toml, json, sh, or nothing."""

    path: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def fenced() -> list[Block]:
    """List the fenced blocks of all pages."""
    return [
        Block(path, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for path in PAGES
        for text in [path.read_text()]
        for found in _FENCE.finditer(text)
    ]


def inline() -> list[Block]:
    """List what stands between backticks in pages, and in the comments of other files."""
    found = []
    for path in [*PAGES, *COMMENTED]:
        text = path.read_text()
        if path in PAGES:
            text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
        else:
            text = "\n".join(_comment(line) for line in text.splitlines())
        found += [Block(path, text.count("\n", 0, code.start()) + 1, "", " ".join(code[1].split())) for code in _CODE.finditer(text)]
    return found


def commands() -> list[Block]:
    """List every command, one line each: of the shell's blocks, of backticks, and of comments that are a command and nothing else."""
    shown = [
        block._replace(line=block.line + 1 + number, text=line.partition(" # ")[0].strip())
        for block in fenced()
        if block.language == "sh"
        for number, line in enumerate(block.text.replace("\\\n", " ").splitlines())
        if line.strip()
    ]
    told = [block for block in inline() if _COMMAND.fullmatch(block.text)]
    bare = [
        Block(path, number, "", text.strip())
        for path in COMMENTED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for text in [_comment(line)]
        if text.startswith("   ") and _COMMAND.fullmatch(text.strip())
    ]
    return shown + told + bare


def _comment(line: str) -> str:
    return line.partition("#")[2]
