"""Sealed values, wherever they lie."""

from collections.abc import Sequence

from regproxy.fleet.encryption import Encryption
from regproxy.fleet.sealed import MAX_AGE, SealedFleet
from regproxy.policy.tag_history import PastMeaning
from tests.fleet.replicas import KEY, NOW, OTHER_RING, RECORD, REFERENCE, RING, TOKEN


class InMemory(SealedFleet):
    """Values in a dictionary that others can write to."""

    def __init__(self, keys: str | None, values: dict[str, object]) -> None:
        self.now = NOW
        super().__init__(lambda: self.now)
        self._keys = Encryption(keys, "test", is_bound=True) if keys is not None else None
        self.values = values

    @property
    def _encryption(self) -> Encryption | None:
        return self._keys

    def _places(self, encryption: Encryption, kind: str, text: str) -> Sequence[str]:
        return [f"{kind} {each}" for each in encryption.names(text)]

    async def _read(self, places: Sequence[str]) -> Sequence[object]:
        return [self.values.get(each) for each in places]

    def _write(self, place: str, sealed: bytes, life: int) -> None:
        assert life >= 1
        self.values[place] = sealed


def written(keys: str | None = RING) -> InMemory:
    fleet = InMemory(keys, {})
    fleet.put_token(KEY, TOKEN)
    fleet.put_tag(REFERENCE, RECORD)
    fleet.put_history(REFERENCE, (PastMeaning(None, NOW),))
    return fleet


async def found(fleet: InMemory) -> list[object]:
    return [await fleet.token(KEY), await fleet.tag(REFERENCE), await fleet.history(REFERENCE)]


async def test_what_was_sealed_is_found_and_nothing_of_it_can_be_read() -> None:
    fleet = written()
    assert await found(fleet) == [TOKEN, RECORD, (PastMeaning(None, NOW),)]
    told = repr(fleet.values)
    assert not any(secret in told for secret in (KEY.value, TOKEN.value.value, str(REFERENCE), str(RECORD.descriptor.digest)))


async def test_without_the_key_nothing_is_found_or_written() -> None:
    fleet = written()
    for keys in (OTHER_RING, None):
        assert await found(InMemory(keys, fleet.values)) == [None, None, ()]
    assert written(None).values == {}


async def test_n17_05_who_has_the_key_and_not_the_credential_opens_nothing() -> None:
    """Whoever keeps a value knows where it lies, and may have the key."""
    fleet = written()
    encryption = fleet._encryption
    assert encryption is not None
    for place, sealed in fleet.values.items():
        assert isinstance(sealed, bytes)
        assert encryption.opened(place, sealed, NOW, MAX_AGE["token"], "a guess") is None


async def test_while_keys_are_rotated_either_opens() -> None:
    fleet = written()
    for keys in (f"{RING},{OTHER_RING}", f"{OTHER_RING},{RING}"):
        assert await found(InMemory(keys, fleet.values)) == [TOKEN, RECORD, (PastMeaning(None, NOW),)]


async def test_what_is_old_moved_or_no_value_is_not_believed() -> None:
    fleet = written()
    fleet.now += 3601
    assert await found(fleet) == [TOKEN, None, (PastMeaning(None, NOW),)]
    fleet.now = NOW
    places = list(fleet.values)
    fleet.values = dict(zip(places, [*list(fleet.values.values())[1:], 7], strict=True))
    assert await found(fleet) == [None, None, ()]


async def test_a_token_that_ends_at_once_is_not_shared() -> None:
    fleet = InMemory(RING, {})
    fleet.now = TOKEN.expires_at - 0.5
    fleet.put_token(KEY, TOKEN)
    assert fleet.values == {}
