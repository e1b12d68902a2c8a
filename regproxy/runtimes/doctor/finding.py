"""What the doctor finds."""

from dataclasses import dataclass

STRICT = "strict: there is no way around the cache, so its rules hold, and so do its outages"
LENIENT = "not strict: without the cache, or refused by it, the runtime goes on to the registry itself, so no rule is enforced"


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which pulls do not go through the cache: a word for programs, a sentence, where it stands, what to do."""

    code: str
    what: str
    where: str
    advice: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, and what is good to know."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
