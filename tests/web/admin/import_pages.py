"""The import pages as a person uses them: a file sent, its preview read, corrected and confirmed."""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx2 as httpx

from tests.web.admin.conftest import Browser

PATH = "/admin/imports"


@dataclass(frozen=True)
class Preview:
    """The page of one uploaded file under the options of its address."""

    browser: Browser
    address: str
    page: httpx.Response

    @property
    def text(self) -> str:
        """The page without its tags."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.page.text)))

    @property
    def token(self) -> str:
        """The hidden value of the form to confirm; empty if the page has none."""
        found = re.search(r'name="agreed" value="(\w+)"', self.page.text)
        return found[1] if found else ""

    @property
    def concerns(self) -> list[str]:
        """The sentences that ask for consent."""
        return [html.unescape(one) for one in re.findall(r"data-concern>.*?<strong>(.*?)</strong>", self.page.text)]

    @property
    def refused(self) -> str:
        """Why it cannot be imported."""
        found = re.search(r'alert-danger" role="alert"><div class="alert-description">(.*?)</div>', self.page.text)
        return html.unescape(found[1]) if found else ""

    @property
    def is_question(self) -> bool:
        """Whether a person has to choose between readings."""
        return "data-question" in self.page.text

    @property
    def choices(self) -> list[str]:
        """The addresses of the readings to choose from."""
        return [html.unescape(one) for one in re.findall(r'list-group-item-action" href="(.*?)"', self.page.text)]

    def corrected(self, **fields: str) -> "Preview":
        """The preview with the form's fields set."""
        return opened(self.browser, f"{self.address.partition('?')[0]}?{urlencode(fields)}")

    def chosen(self, number: int = 0) -> "Preview":
        """The preview of one of the readings."""
        return opened(self.browser, self.address.partition("?")[0] + self.choices[number])

    def confirm(self, token: str = "") -> httpx.Response:
        """The answer to the form that confirms it."""
        fields = {"csrftoken": self.browser.token(), "agreed": token or self.token}
        return self.browser.client.post(self.address, data=fields, follow_redirects=False)

    def discard(self) -> httpx.Response:
        """The answer to the form that throws it away."""
        fields = {"csrftoken": self.browser.token(), "agreed": self.token, "discard": "1"}
        return self.browser.client.post(self.address, data=fields, follow_redirects=False)


def opened(browser: Browser, address: str) -> Preview:
    """The preview at an address."""
    return Preview(browser, address, browser.get(address))


def send(browser: Browser, name: str, content: bytes, modified_ms: str = "") -> httpx.Response:
    """The answer to the form with a file."""
    fields = {"csrftoken": browser.token(), "modified_ms": modified_ms}
    return browser.client.post(PATH, data=fields, files={"file": (name, content)}, follow_redirects=False)


def upload(browser: Browser, path: Path, modified_ms: str = "") -> Preview:
    """Sends a file, and opens its preview."""
    answer = send(browser, path.name, path.read_bytes(), modified_ms)
    assert answer.status_code == 303, answer.text
    return opened(browser, answer.headers["location"])
