"""How clients share what there is a fixed number of: one of them may have most of it, never all."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@dataclass(frozen=True, slots=True)
class Share:
    """At most *most* slots or bytes, the last *reserved* of which are for clients that hold at most *few*."""

    most: int
    reserved: int
    few: int

    @classmethod
    def of(cls, most: int) -> "Share":
        """Reserve a quarter for clients that hold an eighth at most: a whole site behind one address still gets three quarters."""
        return cls(most, most // 4, max(most // 8, 1))

    def may_take(self, taken: int, own: int, weight: int = 1) -> bool:
        """Whether a client that holds *own* of what is *taken* may have *weight* more."""
        return taken + weight <= self.most - (self.reserved if own + weight > self.few else 0)


@lru_cache(1024)
def client_key(address: str) -> str:
    """Name whom *address* belongs to: of IPv6 a /64, which one machine has to itself, and of mapped IPv4 the address within."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or f"{IPv6Address(int(parsed) >> 64 << 64)}/64")
