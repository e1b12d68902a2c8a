import pytest

from regproxy.policy.clouds.aws import place_in, place_of


@pytest.mark.parametrize(
    ("host", "region", "ecr", "sts"),
    [
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "eu-west-1",
            "https://api.ecr.eu-west-1.amazonaws.com",
            "https://sts.eu-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "us-gov-west-1",
            "https://api.ecr.us-gov-west-1.amazonaws.com",
            "https://sts.us-gov-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
            "https://api.ecr.cn-north-1.amazonaws.com.cn",
            "https://sts.cn-north-1.amazonaws.com.cn",
        ),
        (
            "123456789012.dkr.ecr.us-isob-east-1.amazonaws.com",
            "us-isob-east-1",
            "https://api.ecr.us-isob-east-1.amazonaws.com",
            "https://sts.us-isob-east-1.amazonaws.com",
        ),
        (
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "eu-west-1",
            "https://api.ecr.eu-west-1.amazonaws.com",
            "https://sts.eu-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn",
            "cn-northwest-1",
            "https://api.ecr.cn-northwest-1.amazonaws.com.cn",
            "https://sts.cn-northwest-1.amazonaws.com.cn",
        ),
    ],
)
def test_n19_01_the_name_of_a_registry_tells_its_region_and_partition(host: str, region: str, ecr: str, sts: str) -> None:
    place = place_of(host)
    assert place is not None
    assert (place.region, place.ecr, place.sts) == (region, ecr, sts)


@pytest.mark.parametrize(
    "host",
    [
        "ecr.example.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.io",
        "12.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.x.y.amazonaws.com",
        "123456789012.dkr.ecr.s3.amazonaws.com",  # its STS would be sts.s3.amazonaws.com: a bucket, and S3's certificate is good for it
        "123456789012.dkr.ecr.s3-us-west-2.amazonaws.com",
        "123456789012.dkr.ecr.elb.amazonaws.com",
        "123456789012.dkr.ecr.-.amazonaws.com",
    ],
)
def test_n19_01_another_name_tells_nothing(host: str) -> None:
    assert place_of(host) is None


def test_n19_01_a_region_of_china_is_in_its_own_partition() -> None:
    assert (place_in("cn-north-1").domain, place_in("eu-west-1").domain) == ("amazonaws.com.cn", "amazonaws.com")
