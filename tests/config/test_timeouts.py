"""Timeouts in the configuration."""

from pathlib import Path

from regproxy.config import Settings, Timeouts
from tests.config.loaded import mistakes, settings, upstream


class TestTimeouts:
    """Those of one upstream, and of one of its hosts."""

    TEXT = """
    timeouts: {silence: 7s}
    upstreams:
      slow.test:
        hosts: [{url: https://slow.test}]
        timeouts: {headers: 40s, progress: 1m, min_rate: 1KiB}
      pair.test:
        hosts: [{url: https://mirror, trust: [pull], timeouts: {headers: 1s}}, {url: https://pair.test}]
        timeouts: {headers: 2s}
      alone.test: {hosts: [{url: https://alone.test}]}
    """

    def _of(self, found: Settings, name: str) -> list[Timeouts]:
        one = upstream(found, name)
        is_alone = len(one.hosts) == 1
        return [found.timeouts.of(dict(one.timeouts + host.timeouts), is_alone=is_alone) for host in one.hosts]

    def test_n13_21_the_nearest_one_counts(self, file: Path) -> None:
        found = settings(file, self.TEXT)
        (slow,), (mirror, registry) = self._of(found, "slow.test"), self._of(found, "pair.test")
        assert (slow.head, slow.silence, slow.progress, slow.min_rate) == (40.0, 7.0, 60.0, 1024)
        assert (mirror.head, registry.head) == (1.0, 2.0)
        assert settings(file, found.as_yaml()) == found

    def test_n13_21_the_only_host_is_waited_for_as_containerd_does(self, file: Path) -> None:
        (alone,) = self._of(settings(file, self.TEXT), "alone.test")
        assert alone.head == 30.0

    def test_n13_21_what_somebody_says_counts_for_the_only_host_too(self, file: Path) -> None:
        (told,) = self._of(settings(file, self.TEXT.replace("silence: 7s", "headers: 5s")), "alone.test")
        assert told.head == 5.0

    def test_n13_21_a_mistake_is_told(self, file: Path) -> None:
        text = "upstreams: {a.test: {hosts: [{url: https://a.test, timeouts: {progress: 1s}}]}}"
        (line,) = mistakes(file, text)
        assert "timeouts.progress: unknown key" in line
