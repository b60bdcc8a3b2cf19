"""A browser for the admin, signed in or not, on the test's own database."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from domain.access import Role
from tests.web.api.conftest import program  # noqa: F401 - a fixture here too
from tests.web.apps import app_of_settings
from tests.world import World

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
CSRF_COOKIE = "starlette_admin_csrftoken"


class Browser:
    """A person's use of the admin: opens pages, sends forms, runs actions."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **query: object) -> httpx.Response:
        """Opens a page and follows all redirects."""
        return self.client.get(_address(path, query))

    def post(self, path: str, data: dict[str, Any] | None = None, **query: object) -> httpx.Response:
        """Opens a form and sends it with its hidden fields; returns the response without following a redirect.

        Confirms if the page asks.
        """
        answer = self.ask(path, data, **query)
        asked = re.search(r'name="agreed" value="(\w+)"', answer.text)
        return answer if asked is None else self.ask(path, {**(data or {}), "agreed": asked[1]}, **query)

    def ask(self, path: str, data: dict[str, Any] | None = None, **query: object) -> httpx.Response:
        """Opens a form and sends it once; the response may ask for a confirmation."""
        carried = self.carried(path, **query) if path.endswith(("/edit", "/schedule")) else {}
        fields = {"csrftoken": self.token(), **carried, **(data or {})}
        return self.client.post(_address(path, query), data=fields, follow_redirects=False)

    def carried(self, path: str, **query: object) -> dict[str, str]:
        """The mark in a form's hidden field; empty if the page has none."""
        found = re.search(r'name="seen" value="(\w*)"', self.get(path, **query).text)
        return {"seen": found[1]} if found else {}

    def act(self, key: str, name: str, *ids: int, **form: str) -> httpx.Response:
        """A bulk action on rows, agreed to where it asks first; `form`: what is chosen in the question."""
        query = urlencode([("name", name), *(("pks", number) for number in ids)])
        return self._agreed(f"/admin/_api/{key}/action?{query}", form)

    def act_on_one(self, key: str, name: str, number: int) -> httpx.Response:
        """Runs an action of one row, and confirms if it asks."""
        query = urlencode({"name": name, "pk": number})
        return self._agreed(f"/admin/_api/{key}/row-action?{query}", {})

    def preview(self, key: str, name: str, *ids: int, **form: str) -> dict[str, Any]:
        """The text of the question before a bulk action."""
        query = urlencode([("name", name), ("preview", "1"), *(("pks", number) for number in ids)])
        preview: dict[str, Any] = self._send(f"/admin/_api/{key}/action?{query}", form).json()
        return preview

    def _agreed(self, address: str, form: dict[str, str]) -> httpx.Response:
        asked = self._send(f"{address}&preview=1", form)
        is_json = asked.headers.get("content-type") == "application/json"
        token = asked.json().get("agreed") if is_json else None
        return asked if token is None else self._send(address, {**form, "agreed": token})

    def _send(self, address: str, form: dict[str, str]) -> httpx.Response:
        return self.client.post(address, data=form, headers={"X-CSRFToken": self.token()})

    def token(self) -> str:
        """The CSRF token in the browser's cookie."""
        name = f"__Host-{CSRF_COOKIE}" if self.client.base_url.scheme == "https" else CSRF_COOKIE
        if name not in self.client.cookies:
            self.client.get("/admin/login")
        return str(self.client.cookies[name])

    def sign_in(self, email: str, password: str = PASSWORD, *, to: str = "", **more: str) -> httpx.Response:
        """The response to a login."""
        query = {"next": to} if to else {}
        return self.post("/admin/login", {"username": email, "password": password, **more}, **query)

    def banners(self) -> str:
        """The banners of the next page."""
        page = self.get("/admin/").text
        return " ".join(re.findall(r'<div class="alert-description">(.*?)</div>', page, re.DOTALL))


def _address(path: str, query: dict[str, object]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


@pytest.fixture
def app(world: World) -> Any:
    """The application on the test's database."""
    return app_of_settings()


Open = Callable[..., Browser]


@pytest.fixture
def browser(app: Any) -> Iterator[Open]:
    """Opens a browser; with a role, one that a user of that role is signed in by."""
    from app import access  # noqa: PLC0415 - after the environment is set

    with ExitStack() as stack:

        def opened(
            role: Role | None = None, base_url: str = "http://testserver", address: str = "testclient"
        ) -> Browser:
            client = TestClient(app, base_url=base_url, client=(address, 50_000))
            found = Browser(stack.enter_context(client))
            if role is not None:
                email = f"{role}@example.com"
                if access.sign_in(email, PASSWORD) is None:
                    access.create_user(email, PASSWORD, role, "test")
                assert found.sign_in(email).status_code == 303
            return found

        yield opened
