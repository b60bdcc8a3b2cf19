"""The API's documentation page uses only our own files, and the OpenAPI document describes every route."""

import re

from starlette.testclient import TestClient

from tests.web.api.conftest import operations


def test_docs_page_loads_only_from_this_server_and_has_no_inline_script(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert re.search(r"<script(?! src)", page.text) is None
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) >= 4
    for address in (*addresses, "/openapi.json"):
        assert address.startswith("/")
        assert client.get(address).status_code == 200


def test_every_route_documents_its_summary_and_errors(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in str(described["paths"])
    for method, path in operations(described):
        operation = described["paths"][path][method.lower()]
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert operation["security"] == [{"ApiKey": []}]
        assert operation["responses"].keys() >= {"401", "403", "413", "422", "429", "503"}
        if "{" in path:
            assert "404" in operation["responses"]
        for status, response in operation["responses"].items():
            if status >= "400":
                problem = response["content"]["application/problem+json"]["schema"]
                assert problem == {"$ref": "#/components/schemas/ProblemDetails"}
    assert described["components"]["schemas"]["ProblemDetails"]["properties"].keys() >= {"title", "status", "detail"}
