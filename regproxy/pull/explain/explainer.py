"""What would happen to a pull, step by step, and why; nothing is changed by asking.

The failures are named as kubelet names them, each with what to do about it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, assert_never

from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Reference, Tag
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clock import WallClock, utc
from regproxy.policy.cooldown import Choice, CoolingDown, Served
from regproxy.policy.freshness import (
    Fresh,
    KnownMissing,
    Offline,
    Revalidate,
    Stale,
    TagPolicy,
    TagRecord,
    Unknown,
    Verdict,
    judge,
)
from regproxy.policy.permitted import check_denied
from regproxy.policy.requirement import Requirement, RequireMode, requirement_of
from regproxy.policy.routing import Route, Routes, Trust
from regproxy.ports import (
    Corrupt,
    HostFinding,
    InvalidContent,
    NotFound,
    Refused,
    Rejected,
    Throttled,
    Unavailable,
    UnexpectedResponse,
    UpstreamError,
    Watched,
)
from regproxy.pull.explain.layers import Layers
from regproxy.pull.explain.steps import Mark, Step
from regproxy.pull.freezes import Freezes
from regproxy.pull.manifests import Manifests
from regproxy.pull.trust.requirements import Exempt, Requirements, Signed, Unsigned


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps of a pull, and what comes of it in one sentence."""

    image: str
    steps: list[Step] = field(default_factory=list)
    outcome: str = ""
    can_be_pulled: bool = False

    def document(self) -> dict[str, Any]:
        steps = [asdict(step) | {"mark": step.mark.value} for step in self.steps]
        return {"image": self.image, "steps": steps, "outcome": self.outcome, "can_be_pulled": self.can_be_pulled}


class Explainer:
    """Walks pulls without making them."""

    def __init__(
        self,
        routes: Routes,
        registries: Mapping[str, Watched],
        manifests: Manifests,
        freezes: Freezes,
        requirements: Requirements,
        layers: Layers,
        clock: WallClock,
    ) -> None:
        """Explain pulls with what serves them."""
        self._routes = routes
        self._registries = registries
        self._manifests = manifests
        self._freezes = freezes
        self._requirements = requirements
        self._layers = layers
        self._clock = clock

    async def explain(self, image: str) -> Explanation:
        """Explain a pull of *image* as one writes it for `docker pull`; raise `RegistryError` where it is no image."""
        route, reference = self._routes.image(image)
        explanation = Explanation(str(reference))
        steps = explanation.steps
        hosts = ", ".join(str(host) for host in route.upstream.hosts)
        steps.append(Step("upstream", Mark.GOOD, f"{route.upstream.name}, served by {hosts}"))
        try:
            check_denied(route, reference.target)
        except RegistryError as error:
            steps.append(Step("policy", Mark.BAD, error.message, "take the pattern off deny, or pull something else"))
            return Explanation(explanation.image, steps, "ErrImagePull: denied by configuration (403)")
        held = await self._cached(route, reference, steps)
        if (rule := requirement_of(route.upstream.require, route.repository.name)) is not None:
            steps.append(step := await self._signature_step(route, rule, held))
            if step.mark is Mark.BAD:
                return Explanation(explanation.image, steps, "ErrImagePull: not signed as configured (403, or 503 where nobody can tell)")
        steps += await self._layers.steps(route.repository, held, is_proven=route.upstream.access is AccessMode.PROVEN)
        findings = await self._registries[route.upstream.name].examine(reference)
        steps += [step for finding in findings for step in _host_steps(finding)]
        believed = [finding for finding in findings if Trust.RESOLVE in finding.trust]
        is_deleted = bool(believed) and all(isinstance(finding.failure, NotFound) for finding in believed)
        if is_deleted and isinstance(reference.target, Tag) and await self._freezes.of(reference) is None:
            until = await self._manifests.deleted_until(route, reference, reference.target)
            if until is not None:
                steps.append(_deleted_step(until))
                outcome = "it can be pulled while the repository can be read; upstream has deleted the tag"
                return Explanation(explanation.image, steps, outcome, can_be_pulled=True)
        if any(step.about == "cooldown" and step.mark is Mark.BAD for step in steps):
            return Explanation(explanation.image, steps, "it cannot be pulled: ErrImagePull, it cools down (403)")
        return Explanation(explanation.image, steps, *_outcome(findings, is_held=held is not None))

    async def _cached(self, route: Route, reference: Reference, steps: list[Step]) -> Digest | None:
        """Add what the cache knows and what the policy decides; return the digest that it can answer with."""
        if isinstance(reference.target, Digest):
            is_held = await self._manifests.holds(reference.repository, reference.target)
            steps.append(Step("cache", Mark.GOOD if is_held else Mark.NOTE, "the manifest is here" if is_held else "not cached"))
            return reference.target if is_held else None
        record = await self._manifests.known(reference)
        steps.append(_record_step(record, self._clock()))
        freeze = await self._freezes.of(reference)
        if freeze is not None:
            held_to = freeze.digest or (record.descriptor.digest if record else "what it will be found to be")
            steps.append(Step("policy", Mark.NOTE, f"frozen by {freeze.pattern} to {held_to}", f"regproxy unfreeze '{freeze.pattern}'"))
        else:
            steps.append(self._policy_step(route, reference.target, record))
        digest = record.descriptor.digest if record is not None else None
        if freeze is not None:
            digest = freeze.digest or digest
        elif record is not None:
            choice = await self._manifests.choice(route, reference, reference.target, record)
            steps += _cooldown_steps(choice)
            digest = choice.digest if isinstance(choice, Served) else None
        return digest if digest is not None and await self._manifests.holds(reference.repository, digest) else None

    async def _signature_step(self, route: Route, rule: Requirement, digest: Digest | None) -> Step:
        """Look for the signature of what is here: what is found is kept."""
        if digest is None:
            return Step("signature", Mark.NOTE, f"demanded is {rule}; it is looked for when the manifest is here")
        try:
            manifest = (await self._manifests.unchecked(route, digest)).manifest
            verdict = await self._requirements.judge(route, manifest, self._manifests.unchecked)
        except (RegistryError, UpstreamError) as error:
            return Step("signature", Mark.NOTE, f"demanded is {rule}; the manifest cannot be read now: {error}")
        if isinstance(verdict, Signed | Exempt):
            return Step("signature", Mark.GOOD, verdict.why)
        found = verdict.found if isinstance(verdict, Unsigned) else f"upstream does not give its signatures: {verdict.reason}"
        mark = Mark.BAD if rule.mode is RequireMode.ENFORCE else Mark.NOTE
        return Step("signature", mark, f"demanded is {rule}; found: {found}", "sign the digest by one of them, or change require")

    def _policy_step(self, route: Route, tag: Tag, record: TagRecord | None) -> Step:
        rule = route.upstream.tag_policy(route.repository.name, tag.name)
        registry = self._registries[route.upstream.name]
        verdict = judge(record, rule, self._clock(), is_down=registry.is_backing_off, is_scarce=registry.is_scarce)
        mark = Mark.BAD if isinstance(verdict, Offline) else Mark.GOOD
        advice = "pull it once under another policy, or change tags" if mark is Mark.BAD else None
        return Step("policy", mark, f"{_rule(rule)}: {_consequence(verdict)}", advice)


def _deleted_step(until: float) -> Step:
    found = f"upstream has deleted it: what it meant is served until {utc(until)}, while another manifest of the repository can be read"
    return Step("deleted", Mark.NOTE, found, "push it again, or freeze it to keep it")


def _cooldown_steps(choice: Choice) -> list[Step]:
    """Return what a cooldown makes of a tag."""
    if isinstance(choice, CoolingDown):
        found = f"refused: {choice.newer} is known too short a time, and is served from {utc(choice.until)} on"
        return [Step("cooldown", Mark.BAD, found, "wait, freeze the tag to this digest, or set cooldown_first: serve")]
    if choice.newer is None:
        return []
    found = f"served as {choice.digest}; {choice.newer} is served from {utc(choice.until)} on"
    return [Step("cooldown", Mark.NOTE, found, "to have it now, pull it by digest, or freeze the tag to it")]


def _consequence(verdict: Verdict) -> str:
    match verdict:
        case Fresh():
            return "served from the cache, upstream is not asked"
        case Stale():
            return "served from the cache at once, upstream is asked behind the answer"
        case Revalidate():
            return "upstream is asked whether it still means the same; where it is out of reach, the cache stands in"
        case Unknown():
            return "not cached: upstream is asked"
        case Offline():
            return "not cached, and the policy is never: the pull fails"
        case KnownMissing():
            return "upstream said a moment ago that there is no such tag"
        case _ as never:
            assert_never(never)


def _rule(rule: TagPolicy) -> str:
    return f"{rule.policy.value} for {rule.match!r} (fresh for {rule.fresh_for:g} s, stale for {rule.stale_for:g} s)"


def _record_step(record: TagRecord | None, now: float) -> Step:
    if record is None:
        return Step("cache", Mark.NOTE, "not cached")
    return Step("cache", Mark.GOOD, f"{record.descriptor.digest}, checked {now - record.checked_at:.0f} s ago")


def _host_steps(finding: HostFinding) -> list[Step]:
    about = f"host {finding.host}"
    steps = [Step(about, Mark.NOTE, f"asked as {finding.credential}" + (f", token from {finding.realm}" if finding.realm else ""))]
    quota = finding.quota
    if quota is not None:
        whose = f" for {quota.source}" if quota.source else ""
        mark = Mark.NOTE if quota.remaining else Mark.BAD
        steps.append(Step(about, mark, f"{quota.remaining} of {quota.limit} pulls left{whose}"))
    if finding.failure is None:
        meant = f"says {finding.digest}" if finding.digest else "has it"
        return [*steps, Step(about, Mark.GOOD, f"{meant}, after {finding.seconds * 1000:.0f} ms")]
    term, advice = _diagnosis(finding.failure)
    return [*steps, Step(about, Mark.BAD, f"{term}: {finding.failure}, after {finding.seconds * 1000:.0f} ms", advice)]


def _diagnosis(failure: UpstreamError) -> tuple[str, str]:
    """Name a failure as kubelet does, and return what to do."""
    match failure:
        case NotFound():
            return "ErrImagePull, missing image", "check the name and the tag; some registries say so of private ones too"
        case Refused():
            return "ErrImagePull, authentication", "check the credentials of this upstream, and what they may read"
        case Rejected():
            return "ErrImagePull, rejected", "this registry answers so about this image; its other images are not affected"
        case InvalidContent():
            return "ErrImagePull, invalid manifest", "ask the image's author: no registry or network is at fault"
        case Throttled():
            return "ImagePullBackOff, rate limit", "wait, add credentials with a higher limit, or a mirror"
        case Unavailable(timed_out=True):
            return "ErrImagePull, network (timeout)", "check the way to this host: proxy, firewall, DNS"
        case Corrupt() | UnexpectedResponse():
            return "ErrImagePull, wrong answer", "somebody answers in this host's name: check the URL, realms and private_networks"
        case _:
            return "ErrImagePull, network", "check that the host is up and can be reached from here"


def _outcome(findings: list[HostFinding], *, is_held: bool) -> tuple[str, bool]:
    believed = [finding for finding in findings if Trust.RESOLVE in finding.trust] or findings
    if any(finding.failure is None for finding in believed):
        return "it can be pulled", True
    if is_held:
        return "it can be pulled from the cache, as its policy allows; upstream does not answer for it", True
    failures = [finding.failure for finding in believed if finding.failure is not None]
    return f"it cannot be pulled: {_diagnosis(failures[0])[0]}" if failures else "it cannot be pulled: nobody may be asked", False
