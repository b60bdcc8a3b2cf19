"""Adapts the templates of starlette-admin to the content security policy: nonces for scripts, no inline handlers."""

import re
from typing import Final

from jinja2.ext import Extension

NONCE: Final = "{{ request.state.script_nonce }}"
_INLINE: Final = re.compile(r"<script>")
_HANDLERS: Final = {
    'onchange="window.location = this.value"': "data-goes-to-value",
    'onclick="applyColumnVisibility()"': "data-applies-columns",
}
"""Inline handlers of starlette-admin, which the policy forbids, and the attributes that replace them.

static/admin/handlers.js reads these attributes.
"""


class MarkedScripts(Extension):
    """Adds the response's nonce to each inline script of a template, and removes inline handlers."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The template's source with a nonce on each inline script and attributes in place of inline handlers."""
        del name, filename
        for handler, attribute in _HANDLERS.items():
            source = source.replace(handler, attribute)
        return _INLINE.sub(f'<script nonce="{NONCE}">', source)
