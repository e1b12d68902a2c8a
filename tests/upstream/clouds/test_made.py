import pytest

from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.policy.clouds.sources import AwsIdentity, Ecr, Provider
from regproxy.policy.routing import Host
from regproxy.ports import UnexpectedResponse
from regproxy.upstream.clouds.made import source_of
from regproxy.upstream.clouds.provider import ProviderSource
from regproxy.upstream.connections import Pool
from regproxy.upstream.host import HostClient
from regproxy.upstream.request import HostRequest
from tests.fakes.deeds import Redirect, Status
from tests.fakes.registry import FakeRegistry


async def test_a_host_has_the_source_that_is_configured() -> None:
    assert source_of(Host("https://a.io"), NullFleet()) is None
    source = source_of(Host("https://a.io", credential_source=Provider("x", ("a.io",))), NullFleet())
    assert isinstance(source, ProviderSource)
    await source.close()


async def test_n19_01_a_registry_sends_us_to_no_metadata_service_though_its_credential_is_of_one() -> None:
    async with FakeRegistry() as registry:
        source = Ecr(AwsIdentity.INSTANCE, "eu-west-1", registry.url, metadata_endpoint="http://169.254.169.254")
        client = HostClient("a.io", Host(registry.url, credential_source=source), Timeouts(), NullFleet())
        registry.misbehave("/v2/", Redirect("http://169.254.169.254/latest/meta-data/"))
        with pytest.raises(UnexpectedResponse, match=r"sent us to 169.254.169.254, whose address it may not use"):
            async with client.ask(HostRequest("GET", "team/app", "manifests/1", Pool.MANIFEST)):
                pass
        registry.behave()
        challenge = 'Bearer realm="http://169.254.169.254/token",service="x"'
        registry.misbehave("/v2/", Status(401, {"WWW-Authenticate": challenge}))
        with pytest.raises(UnexpectedResponse, match="token service that is not its own"):
            async with client.ask(HostRequest("GET", "team/app", "manifests/1", Pool.MANIFEST)):
                pass
        await client.close()
