"""Who is believed less after a blob came wrong."""

import os
import tempfile
from contextlib import closing

from regproxy.fill.attribution import identify_corrupt, report_corrupt, report_verified, senders, statements
from regproxy.fill.source import ReceivedRange
from regproxy.ports import Extent
from tests.fill.test_download import FakeBody
from tests.fill.test_writer import SlowDisk


class Body(FakeBody):
    """Bytes of a host by its name, and what was held against it."""

    def __init__(self, host: str, *, is_untrusted: bool = False) -> None:
        super().__init__(0, 4, 4, 4, 4)
        self.host, self.is_untrusted = host, is_untrusted
        self.verdicts: list[str] = []

    def __str__(self) -> str:
        return self.host

    def confirm(self) -> None:
        self.verdicts.append("confirmed")

    def reject(self) -> None:
        self.verdicts.append("rejected")

    def suspect(self) -> None:
        self.verdicts.append("suspected")


class Copy(SlowDisk):
    """An ingest of these bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by the test
        os.write(self._file.fileno(), content)

    def close(self) -> None:
        self._file.close()

    def extent(self, start: int, stop: int) -> Extent:
        return Extent(self._file, start, min(stop - start, 3))


def test_the_only_sender_of_wrong_bytes_is_rejected_once() -> None:
    one = Body("one")
    report_corrupt([ReceivedRange(0, 2, one), ReceivedRange(2, 4, one)])
    assert one.verdicts == ["rejected"]


def test_of_several_senders_the_untrusted_are_suspected() -> None:
    trusted, untrusted = Body("one"), Body("other", is_untrusted=True)
    report_corrupt([ReceivedRange(0, 2, trusted), ReceivedRange(2, 4, untrusted)])
    assert (trusted.verdicts, untrusted.verdicts) == ([], ["suspected"])


def test_every_sender_of_right_bytes_is_confirmed_once() -> None:
    one, other = Body("one"), Body("other")
    segments = [ReceivedRange(0, 2, one), ReceivedRange(2, 4, other), ReceivedRange(4, 6, one)]
    report_verified(segments)
    assert (one.verdicts, other.verdicts, senders(segments)) == (["confirmed"], ["confirmed"], ["one", "other"])


def test_who_sent_the_wrong_part_is_found_by_the_next_good_copy() -> None:
    right, wrong = Body("right"), Body("wrong")
    with closing(Copy(b"aaaabbbX")) as copy:
        said = statements(copy, [ReceivedRange(0, 4, right), ReceivedRange(4, 8, wrong)])
    assert (right.verdicts, wrong.verdicts) == (["suspected"], ["suspected"])
    with closing(Copy(b"aaaabbbb")) as copy:
        identify_corrupt(copy, said)
    assert (right.verdicts, wrong.verdicts) == (["suspected"], ["suspected", "rejected"])
