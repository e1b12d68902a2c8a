"""Which images of an index are meant by a platform."""

import pytest

from regproxy.policy.platform import Platform, fitting, named


def entry(os: str, architecture: str, variant: str | None = None) -> dict[str, object]:
    return {"digest": "d", "platform": {"os": os, "architecture": architecture} | ({"variant": variant} if variant else {})}


AMD64, V6, V7, ATTESTATION = entry("linux", "amd64"), entry("linux", "arm", "v6"), entry("linux", "arm", "v7"), entry("unknown", "unknown")
INDEX = {"manifests": [AMD64, V6, V7, ATTESTATION, {"digest": "d"}, "odd", {"platform": "odd"}]}


@pytest.mark.parametrize(
    ("text", "expected"), [("linux/amd64", [AMD64]), ("linux/arm", [V6, V7]), ("linux/arm/v7", [V7]), ("windows/amd64", [])]
)
def test_a_platform_without_a_variant_means_all_of_them(text: str, expected: list[object]) -> None:
    assert str(Platform.parse(text)) == text
    assert fitting(INDEX, [Platform.parse(text)]) == expected


def test_none_means_all_that_is_an_entry() -> None:
    assert fitting(INDEX, ()) == [each for each in INDEX["manifests"] if isinstance(each, dict)]
    assert fitting({"manifests": "odd"}, ()) == []
    assert fitting({}, [Platform("linux", "amd64")]) == []


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/arm64/v8/x", "LINUX/amd64", "linux/amd64 ", "a" * 40 + "/b"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a platform"):
        Platform.parse(text)


def test_machines_have_other_names_in_images() -> None:
    assert [str(Platform.of_machine(each)) for each in ("x86_64", "aarch64", "riscv64")] == ["linux/amd64", "linux/arm64", "linux/riscv64"]


def test_an_attestation_has_no_platform_for_people() -> None:
    assert [named(each) for each in (AMD64, V7, ATTESTATION, {"digest": "d"})] == ["linux/amd64", "linux/arm", "", ""]
