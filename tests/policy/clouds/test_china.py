import pytest

from regproxy.policy.clouds.china import aliyun_region, huawei_place


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("registry.cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ("registry-vpc.cn-beijing.aliyuncs.com", "cn-beijing"),
        ("registry-internal.cn-shanghai.aliyuncs.com", "cn-shanghai"),
        ("team-registry.cn-hangzhou.cr.aliyuncs.com", "cn-hangzhou"),
        ("team-registry-vpc.ap-southeast-1.cr.aliyuncs.com", "ap-southeast-1"),
        ("crpi-abc123.cn-guangzhou.personal.cr.aliyuncs.com", "cn-guangzhou"),
        ("registry.cn-north-2-gov-1.aliyuncs.com", "cn-north-2-gov-1"),
        ("registry.oss-cn-hangzhou.aliyuncs.com", None),  # a bucket of anybody's
        ("team.oss-cn-hangzhou.cr.aliyuncs.com", None),
        ("registry.fc.aliyuncs.com", None),
        ("registry.example.com", None),
        ("registry.cn-hangzhou.aliyuncs.com.evil.io", None),
        ("team.registry.cn-hangzhou.cr.aliyuncs.com", None),
    ],
)
def test_n19_01_a_registry_of_aliyun_tells_its_region(host: str, region: str | None) -> None:
    assert aliyun_region(host) == region


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("swr.cn-north-4.myhuaweicloud.com", ("cn-north-4", "myhuaweicloud.com")),
        ("swr.eu-west-101.myhuaweicloud.eu", ("eu-west-101", "myhuaweicloud.eu")),
        ("swr.my-kualalumpur-1.myhuaweicloud.com", ("my-kualalumpur-1", "myhuaweicloud.com")),
        ("swr.obs.myhuaweicloud.com", None),  # a bucket of anybody's
        ("swr.obs-cn-north-4.myhuaweicloud.com", None),
        ("swr.cn-north-4.myhuaweicloud.com.evil.io", None),
        ("registry.example.com", None),
    ],
)
def test_n19_01_a_registry_of_huawei_tells_its_region(host: str, place: tuple[str, str] | None) -> None:
    assert huawei_place(host) == place
