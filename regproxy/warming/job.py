"""A warm-up that was asked for: which images, and how far each is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class State(StrEnum):
    """How far an image, or all of a job, is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # of a job: some images failed
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in {State.DONE, State.FAILED, State.CANCELLED}


@dataclass(slots=True)
class Layer:
    """A blob of an image, its size and how much of it is here, in bytes."""

    digest: str
    size: int
    written: int = 0


@dataclass(slots=True)
class WarmImage:
    """An image of a job; *reason* says why it failed, or what it waits for."""

    name: str
    state: State = State.QUEUED
    digest: str = ""
    attempts: int = 0
    reason: str = ""
    size: int = 0  # of all layers, in bytes
    layers: dict[str, Layer] = field(default_factory=dict)  # while they come

    def begin(self) -> None:
        self.state, self.reason, self.size, self.layers = State.RUNNING, "", 0, {}
        self.attempts += 1

    def expect(self, digest: str, size: int) -> None:
        """Add a layer that is to come, unless it is among them."""
        if digest not in self.layers:
            self.layers[digest] = Layer(digest, size)
            self.size += size

    def end(self, state: State) -> None:
        """Come to an end; thousands of images that are over keep no layers."""
        self.state, self.layers = state, {}

    def document(self) -> dict[str, Any]:
        """Describe it for JSON."""
        shown: dict[str, Any] = {
            "name": self.name,
            "state": self.state.value,
            "digest": self.digest,
            "attempts": self.attempts,
            "reason": self.reason,
            "bytes": self.size,
        }
        if self.state is State.RUNNING:
            shown["layers"] = [{"digest": each.digest, "size": each.size, "written": each.written} for each in self.layers.values()]
        return shown


@dataclass(slots=True)
class WarmJob:
    """A job, for *platforms* (empty: all), with *parallel* images at once; *created_at* in epoch seconds."""

    number: int
    created_at: float
    images: Sequence[WarmImage]
    platforms: Sequence[str]
    parallel: int
    origin: str = "operator"
    is_cancelled: bool = False

    @property
    def state(self) -> State:
        states = {image.state for image in self.images}
        if self.is_cancelled:
            return State.CANCELLED
        if states <= {State.DONE}:
            return State.DONE
        if all(each.is_over for each in states):
            return State.FAILED
        return State.QUEUED if states == {State.QUEUED} else State.RUNNING

    def summary(self) -> dict[str, Any]:
        """Describe it for JSON, without its images."""
        counts = Counter(image.state for image in self.images)
        return {
            "id": self.number,
            "state": self.state.value,
            "origin": self.origin,
            "created_at": self.created_at,
            "platforms": list(self.platforms),
            "parallel": self.parallel,
            "counts": {state.value: counts[state] for state in State},
        }

    def document(self) -> dict[str, Any]:
        """Describe it for JSON, as `read` takes it."""
        return {**self.summary(), "images": [image.document() for image in self.images]}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read what `document` wrote: what was running then is to begin again. Raise `KeyError`, `ValueError` or `TypeError`."""
        images = []
        for each in document["images"]:
            state = State(each["state"])
            state = state if state.is_over else State.QUEUED
            images.append(WarmImage(each["name"], state, each["digest"], each["attempts"], each["reason"], each["bytes"]))
        is_cancelled = document["state"] == State.CANCELLED.value
        return cls(
            document["id"], document["created_at"], images, document["platforms"], document["parallel"], document["origin"], is_cancelled
        )
