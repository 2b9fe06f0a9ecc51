"""Pages for people: the start page and the API's documentation, complete without the internet."""

import re

import pytest

from tests.ingest.gateways import memory_gateway


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path) as gateway:
        yield gateway


def addresses(page: str) -> list[str]:
    """Return everything that a page loads or links to."""
    return re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_documentation_loads_nothing_from_other_hosts(gateway, path):
    answer = await gateway.http.get(path)
    assert answer.status_code == 200
    loaded = addresses(answer.text)
    assert any(address.endswith(".js") for address in loaded)
    for address in loaded:
        assert address.startswith("/")
        assert (await gateway.http.get(address)).status_code == 200
    assert "//cdn" not in answer.text
    assert "fonts.googleapis" not in answer.text


async def test_the_start_page_links_to_what_is_here(gateway):
    answer = await gateway.http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    links = addresses(answer.text)
    assert {"/docs", "/healthz", "/readyz", "/metrics"} <= set(links)
    for link in links:
        assert (await gateway.http.get(link)).status_code in {200, 503}


async def test_every_endpoint_of_the_start_page_exists(gateway):
    page = (await gateway.http.get("/")).text
    described = (await gateway.http.get("/openapi.json")).json()["paths"]
    named = set(re.findall(r"<code>(/v1/[^<]+)</code>", page))
    assert named - {"/v1/search"} <= set(described)
