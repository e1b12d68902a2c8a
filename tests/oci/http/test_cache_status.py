import re

import pytest

from regproxy.oci.http.cache_status import CacheStatus


@pytest.mark.parametrize("status", CacheStatus)
def test_each_status_is_a_hit_or_says_why_it_went_forward(status: CacheStatus) -> None:
    """RFC 9211, 2: parameters of one cache, whose name comes first; `hit` and `fwd` exclude each other."""
    name, *parameters = status.header().split("; ")
    assert name == "regproxy"
    assert ("hit" in parameters) != any(each.startswith("fwd=") for each in parameters)
    assert all(re.fullmatch(r"hit|fwd=(miss|stale)|collapsed|fwd-status=(200|404)|detail=[a-z-]+", each) for each in parameters)


def test_each_status_is_told_from_the_others() -> None:
    assert len({status.header() for status in CacheStatus}) == len(CacheStatus)
