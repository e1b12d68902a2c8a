"""Repository names as a host has them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.reference import is_name
from regproxy.policy.routing import Host
from regproxy.policy.upstream.rewriting import InvalidRewrite, Rewrite, rewritten

names = st.from_regex(r"[a-z0-9]{1,6}(?:[._-][a-z0-9]{1,6})?(?:/[a-z0-9]{1,6}){0,4}", fullmatch=True)

FOUND = [
    pytest.param("coredns/coredns", [("^.*/([^/]+)$", "$1")], "google_containers", "google_containers/coredns", id="flattened names"),
    pytest.param("pause", [("^.*/([^/]+)$", "$1")], "google_containers", "google_containers/pause", id="no rule matches"),
    pytest.param("rancher/shell", [("^rancher/(.*)", "mirror/rancher-images/$1")], "", "mirror/rancher-images/shell", id="k3s"),
    pytest.param("a/b", [("^(.*)/(.*)$", "$2/$1")], "", "b/a", id="two groups"),
    pytest.param("a/b", [(r"^(.*)/(.*)$", r"\2-\1")], "", "b-a", id="groups as sed has them"),
    pytest.param("library/nginx", [("^library/", "")], "hub", "hub/nginx", id="a part taken away"),
    pytest.param("a/b", [("^x", "y"), ("^a", "z"), ("^z", "w")], "", "z/b", id="the first that matches"),
    pytest.param("a/b", [("^a(/c)?", "z$1")], "", "z/b", id="a group that took no part"),
    pytest.param("team/a.b_c", [(r"^[\w.]{2,4}/((?:a|b)\.[^/]*)$", "$1")], "", "a.b_c", id="classes, escapes, counts, alternatives"),
    pytest.param("aab/aab", [("a{2}b", "x")], "", "x/x", id="everywhere"),
    pytest.param("a/b", [("^a|b$", "c")], "", "c/c", id="alternatives outside groups"),
]


@pytest.mark.parametrize(("name", "rules", "prefix", "found"), FOUND)
def test_n19_02_a_host_has_a_repository_under_a_name_of_its_own(name: str, rules: list[tuple[str, str]], prefix: str, found: str) -> None:
    assert rewritten(name, [Rewrite(*rule) for rule in rules], prefix) == found


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("library/nginx", ("^library/nginx$", "")),
        ("library/nginx", ("^library", "")),
        ("library/nginx", ("nginx$", "a//b")),
        ("library/nginx", ("nginx$", "..")),
        ("a/" * 120 + "a", ("^(.*)$", "$1/$1/$1")),
    ],
)
def test_n19_02_what_is_no_name_after_a_rewrite_is_not_asked_for(name: str, rule: tuple[str, str]) -> None:
    assert Host("https://mirror.example", rewrite=(Rewrite(*rule),)).repository(name) is None


matches = st.sampled_from(["^(.*)/(.*)$", "^([^/]*)", "[a-z]", "^(a)?", "/", r"^(\w*)-", "$"])


@given(names, matches, st.text("ab/._-", max_size=5), st.booleans())
def test_n19_02_no_rewrite_leaves_the_grammar_of_repositories(name: str, match: str, to: str, has_group: bool) -> None:
    rule = Rewrite(match, f"{to}$1" if has_group and "(" in match else to)
    found = rewritten(name, [rule], "mirror")
    assert found is None or (is_name(found) and found.startswith("mirror/"))


REFUSED = [
    ("", "empty"),
    ("^" + "a" * 256, "longer than 256"),
    ("(.*)/(.*)", "could take long"),
    ("^(.*)/(.*)/(.*)$", "could take long"),
    ("^(a+)+$", "repeats what itself repeats"),
    ("^(a|aa)*$", "repeats what itself"),
    ("^(?:a?){30}$", "repeats what itself"),
    ("^" + "a?" * 30 + "a" * 30, "could take long"),
    ("^(?:" + "|".join(["[^/]*-[^/]*"] * 5) + ")$", "could take long"),
    ("^a{1,300}b{1,300}c{1,300}", "could take long"),
    ("^(a", "without a )"),
    ("^a)", "without a ("),
    ("^(?P<n>a)", "group of a kind"),
    ("^(?=a)", "group of a kind"),
    (r"^(a)\1", "not supported"),
    ("^[a", "not supported"),
    ("^[[:alpha:]]", "not supported"),
    ("^a**", "not supported"),
    ("^{2}", "no regular expression"),
    ("^a{3,2}", "no regular expression"),
    ("^[z-a]", "no regular expression"),
]


@pytest.mark.parametrize(("match", "why"), REFUSED)
def test_n19_02_an_expression_that_could_take_long_is_refused(match: str, why: str) -> None:
    with pytest.raises(InvalidRewrite, match=re.escape(why)):
        Rewrite(match, "a")


@pytest.mark.parametrize(
    ("to", "why"), [("$2", "refers to a group"), ("$1y", "in its replacement"), ("A", "in its replacement"), ("a" * 257, "longer than")]
)
def test_n19_02_a_replacement_has_what_names_have_and_groups_that_exist(to: str, why: str) -> None:
    with pytest.raises(InvalidRewrite, match=why):
        Rewrite("^(a)", to)


expressions = st.recursive(
    st.sampled_from(["a", "b", "/", ".", "[ab]", "[^/]", r"\w", "^", "$"]),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,4}", "{3,}"])),
        st.builds("({})".format, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=12,
)


@given(expressions, st.sampled_from(["a" * 255, "ab" * 127, "a/" * 127 + "b", "b" * 200 + "/" + "a" * 54]))
def test_n19_02_no_name_makes_an_expression_that_is_taken_take_long(expression: str, name: str) -> None:
    try:
        rule = Rewrite(expression + "c", "x")  # what names do not end in, so that every way is tried
    except InvalidRewrite:
        return
    assert rewritten(name, [rule]) == name  # it ends
