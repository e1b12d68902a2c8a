"""What the admin port is answered from."""

from collections.abc import Mapping
from dataclasses import dataclass

from regproxy.maintenance.inventory import Inventory
from regproxy.maintenance.tag_history import TagHistory
from regproxy.peers.watch import FleetWatch
from regproxy.ports import StoreMaintenance, Watched
from regproxy.pull.explain.explainer import Explainer
from regproxy.pull.freezes import Freezes
from regproxy.pull.refresher import Refresher
from regproxy.warming.hooks import Hooks
from regproxy.warming.schedules import Schedules


@dataclass(frozen=True, slots=True)
class AdminServices:
    """All of it, joined by wiring."""

    store: StoreMaintenance
    upstreams: Mapping[str, Watched]
    freezes: Freezes
    explainer: Explainer
    inventory: Inventory
    refresher: Refresher
    tag_history: TagHistory
    schedules: Schedules
    hooks: Hooks
    fleet: FleetWatch | None
