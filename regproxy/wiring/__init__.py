"""The one place that joins ports to adapters."""

from regproxy.wiring.behind import remote, uploading
from regproxy.wiring.features import import_features
from regproxy.wiring.peering import Peering, check_members, members_caution, watching
from regproxy.wiring.serving import Serving, serving
from regproxy.wiring.sharing import fleet_of, sharing
from regproxy.wiring.stores import indexed, joined, kept, opened, taking_stock
from regproxy.wiring.tending import admin_services, hooking, inventory_of, tending, warming
from regproxy.wiring.whole import Proxy, assembled

__all__ = [
    "Peering",
    "Proxy",
    "Serving",
    "admin_services",
    "assembled",
    "check_members",
    "fleet_of",
    "hooking",
    "import_features",
    "indexed",
    "inventory_of",
    "joined",
    "kept",
    "members_caution",
    "opened",
    "remote",
    "serving",
    "sharing",
    "taking_stock",
    "tending",
    "uploading",
    "warming",
    "watching",
]
