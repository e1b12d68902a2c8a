"""htpasswd: users with bcrypt hashes count; what is wrong with a line is told without what it contains."""

from regproxy.policy.clients import htpasswd
from regproxy.policy.clients.htpasswd import parse_htpasswd

HASH = b"$2y$05$" + b"c" * 53


def test_users_are_read_and_the_first_line_counts() -> None:
    found = parse_htpasswd(b"# ours\n\nann:" + HASH + b"\r\nbob: " + HASH + b" \nann:$2y$06$" + b"d" * 53 + b"\n")
    assert found.hashes == {"ann": HASH, "bob": HASH}
    assert found.complaints == ()


def test_lines_that_do_not_count_are_named_by_number() -> None:
    lines = [b"ann:canary", b"bob:{SHA}canary", b":" + HASH, b"\xff:" + HASH, b"eve:" + HASH.replace(b"05", b"31"), b"canary"]
    found = parse_htpasswd(b"\n".join(lines))
    assert found.hashes == {}
    assert [complaint.partition(":")[0] for complaint in found.complaints] == [f"line {number}" for number in range(1, 7)]
    assert "canary" not in str(found.complaints)


def test_users_are_bounded() -> None:
    text = b"\n".join(b"user%d:%s" % (number, HASH) for number in range(htpasswd._MAX_USERS + 5))
    found = parse_htpasswd(text)
    assert len(found.hashes) == htpasswd._MAX_USERS
    assert found.complaints == (f"line {htpasswd._MAX_USERS + 1}: more than {htpasswd._MAX_USERS} users",)
