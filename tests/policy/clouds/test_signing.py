"""The signatures of clouds, by the examples that the clouds publish."""

from datetime import UTC, datetime

import pytest

from regproxy.policy.clouds.signing import AccessKey, CloudRequest, huawei_login, sign_aliyun, sign_aws, sign_huawei, sign_tencent
from regproxy.policy.credential import Secret

HOST = "example.amazonaws.com"
UNRESERVED = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORM = (("content-type", "application/x-www-form-urlencoded"),)

# AWS Signature Version 4 test suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), by the names of its cases.
SUITE = [
    ("get-vanilla", CloudRequest("GET", HOST), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-vanilla-query-order-key-case",
        CloudRequest("GET", HOST, query=(("Param2", "value2"), ("Param1", "value1"))),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    ("get-unreserved", CloudRequest("GET", HOST, UNRESERVED), "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-utf8", CloudRequest("GET", HOST, "/ሴ"), "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    (
        "get-space-normalized",
        CloudRequest("GET", HOST, "/example space/"),
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    (
        "get-slashes-normalized",
        CloudRequest("GET", HOST, "//example//"),
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-relative-normalized",
        CloudRequest("GET", HOST, "/example/.."),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-header-key-duplicate",
        CloudRequest("GET", HOST, headers=(("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1"))),
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-trim",
        CloudRequest("GET", HOST, headers=(("my-header1", " value1"), ("my-header2", ' "a   b   c"'))),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    ("post-vanilla", CloudRequest("POST", HOST), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-x-www-form-urlencoded",
        CloudRequest("POST", HOST, headers=FORM, body=b"Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
]


def at(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


def header(request: CloudRequest, name: str = "authorization") -> str:
    return dict(request.headers)[name]


@pytest.mark.parametrize(("request_", "signature"), [pytest.param(*case[1:], id=case[0]) for case in SUITE])
def test_n19_01_aws_is_signed_as_its_test_suite_has_it(request_: CloudRequest, signature: str) -> None:
    key = AccessKey("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
    signed = header(sign_aws(request_, key, "us-east-1", "service", at(2015, 8, 30, 12, 36, 0)))
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")
    assert signed.endswith(f";x-amz-date, Signature={signature}")


def test_n19_01_tencent_is_signed_as_its_documentation_has_it() -> None:
    """Tencent Cloud API 3.0, "Signature method v3": DescribeInstances."""
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    headers = (("content-type", "application/json; charset=utf-8"), ("x-tc-action", "DescribeInstances"))
    key = AccessKey("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", Secret("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"))
    signed = header(sign_tencent(CloudRequest("POST", "cvm.tencentcloudapi.com", headers=headers, body=body), key, "cvm", 1551113065))
    assert signed == (
        "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, "
        "Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
    )


def test_n19_01_aliyun_is_signed_as_its_documentation_has_it() -> None:
    """Alibaba Cloud, "V3 request body and signature mechanism": the example with fixed parameters."""
    query = (("RegionId", "cn-shanghai"), ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"))
    headers = (("x-acs-action", "RunInstances"), ("x-acs-version", "2014-05-26"), ("accept", "application/json"))
    request = CloudRequest("POST", "ecs.cn-shanghai.aliyuncs.com", query=query, headers=headers)
    key = AccessKey("YourAccessKeyId", Secret("YourAccessKeySecret"))
    signed = header(sign_aliyun(request, key, "3156853299f313e23d1673dc12e1703d", at(2023, 10, 26, 10, 22, 32)))
    assert signed == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_n19_01_huawei_is_signed_as_its_documentation_has_it() -> None:
    """Huawei Cloud, "API Request Signing Guide": the list of VPCs."""
    query = (("marker", "13551d6b-755d-4757-b956-536f674975c0"), ("limit", "2"))
    path, headers = "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs", (("content-type", "application/json"),)
    key = AccessKey("QTWAOYTTINDUT2QVKYUC", Secret("MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"))
    signed = header(sign_huawei(CloudRequest("GET", "service.region.example.com", path, query, headers), key, at(2019, 11, 15, 3, 36, 55)))
    assert signed == (
        "SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, "
        "Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"
    )


def test_n19_01_the_token_of_a_temporary_key_goes_along_and_the_secret_never_does() -> None:
    key = AccessKey("id", Secret("canary-secret"), Secret("the-token"))
    request = CloudRequest("GET", "a.example", "/v2/x/", headers=(("content-type", "application/json"),))
    signed = [
        sign_aws(request, key, "r", "s", 0),
        sign_tencent(request, key, "s", 0),
        sign_aliyun(request, key, "n", 0),
        sign_huawei(request, key, 0),
    ]
    names = ["x-amz-security-token", "x-tc-token", "x-acs-security-token", "x-security-token"]
    assert [header(each, name) for each, name in zip(signed, names, strict=True)] == ["the-token"] * 4
    assert "canary" not in repr(signed)


def test_n19_01_what_is_sent_is_what_is_signed() -> None:
    assert CloudRequest("GET", "a.example", "/a b/", (("q", "x y/+"), ("a", "ü"))).target == "/a%20b/?a=%C3%BC&q=x%20y%2F%2B"
    assert CloudRequest("GET", "a.example").target == "/"


def test_n19_01_a_long_term_login_of_huawei_is_what_its_guide_has_openssl_make() -> None:
    """As `printf "$AK" | openssl dgst -binary -sha256 -hmac "$SK" | od -An -vtx1` (swr_01_1000)."""
    key = AccessKey("QTWAOYTTINDUT2QVKYUC", Secret("MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"))
    assert huawei_login(key) == "89aca1198a970e4360203d71cdaa80cfc13ecd55ee84409719e88162d139ef34"
