"""How upstream is asked whether something may be had: by HEAD of that very thing, as far as there is one."""

from functools import partial

from regproxy.clients.proofs import Wanted
from regproxy.oci.endpoint import BlobPull, ManifestPull, ReferrerList, TagList
from regproxy.oci.reference import Reference, Repository
from regproxy.ports import Kind, NotFound, Registry, Unavailable

Pull = ManifestPull | BlobPull | TagList | ReferrerList


def wanted(registry: Registry, repository: Repository, pull: Pull) -> Wanted:
    """Return what *pull* asks of *repository*, and how *registry* is asked about it."""
    match pull:
        case ManifestPull(target=target):
            return Wanted(
                repository, f"manifest {target}", partial(registry.confirm_manifest, Reference(repository, target)), Kind.MANIFEST
            )
        case BlobPull(digest=digest):
            return Wanted(repository, f"blob {digest}", partial(registry.confirm, repository, digest), Kind.BLOB)
        case TagList():
            return Wanted(repository, "tags", partial(_listed, registry, repository))
        case ReferrerList(digest=digest):
            return Wanted(repository, f"manifest {digest}", partial(_referred, registry, Reference(repository, digest)), Kind.MANIFEST)


async def _listed(registry: Registry, repository: Repository) -> None:
    if await registry.tags(repository, "n=1") is None:
        raise Unavailable(f"{repository.registry} does not list the tags of {repository.name}")


async def _referred(registry: Registry, reference: Reference) -> None:
    """Ask about the subject, which need not exist."""
    try:
        await registry.confirm_manifest(reference)
    except NotFound as error:
        if error.is_repository:
            raise
        await _listed(registry, reference.repository)
