import pytest

from regproxy.oci.http.coding import codings


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        pytest.param([], [], id="none"),
        *(
            pytest.param([text], [], id=repr(text))
            for text in ["", "identity", "aws-chunked", "utf-8", "none", "binary", "identity, identity"]
        ),
        pytest.param(["identity,aws-chunked", "Identity"], [], id="two fields"),
        pytest.param(["GZIP"], ["gzip"], id="in capitals"),
        pytest.param(["aws-chunked, gzip"], ["gzip"], id="one of a list"),
        pytest.param(["identity", "br , zstd"], ["br", "zstd"], id="one of several fields"),
    ],
)
def test_n13_16_only_a_registered_coding_is_one(headers: list[str], found: list[str]) -> None:
    assert codings(headers) == found
