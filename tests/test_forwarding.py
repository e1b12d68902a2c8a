"""What wraps a registry answers as that does where it has no word of its own; tests/conformance has each of them."""

from regproxy.ports import ForwardingRegistry, Registry


def _asked(kind: type) -> set[str]:
    return {name for each in kind.__mro__ if each.__module__.startswith("regproxy.") for name in vars(each) if not name.startswith("_")}


def test_no_question_is_left_to_the_port_which_answers_nothing() -> None:
    assert _asked(Registry) <= set(vars(ForwardingRegistry))
