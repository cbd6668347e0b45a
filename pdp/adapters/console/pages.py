"""Making pages. Every text that a template puts out goes through `inert.visible` and is then escaped, whoever it came
from: no template can forget either, and none may mark anything as safe (a test reads them all)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Undefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from pdp.adapters.console import wording
from pdp.core.approvals.text_safety import isolated, visible
from pdp.ports import Clock

_SHORT = 128  # characters
FOLDER = Path(__file__).parent


class Pages:
    """Renders the templates."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_inert,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["words"] = wording
        self._templates.filters["moment"] = moment
        self._templates.filters["block"] = block
        self._templates.filters["exact"] = exact

    def show(self, template: str, status: int = 200, **context: object) -> HTMLResponse:
        """A page. `now_ns` is the service's own clock, which all times left are counted from."""
        found = self._templates.get_template(template)
        return HTMLResponse(found.render(now_ns=self._clock.now_ns(), **context), status)


def moment(at_ns: int) -> Markup:
    """An instant: UTC to read, and for the page's script to add the reader's own time."""
    return Markup('<time datetime="{}">{}</time>').format(wording.iso(at_ns), wording.instant(at_ns))


def block(text: str) -> Markup:
    """Text of others that is shown as a block: its line breaks are kept."""
    return escape(visible(text, lines=True))


def exact(text: str) -> Markup:
    """For what comes back to us: values of form fields, and what a person typed. Escaped, and else as it is."""
    return escape(text)


def _inert(value: object) -> object:
    if isinstance(value, Markup | Undefined):
        return value
    text = str(value)
    return _escaped(text) if len(text) <= _SHORT else escape(isolated(visible(text)))


@lru_cache(maxsize=4096)
def _escaped(text: str) -> Markup:
    """Lists say the same names and words again and again."""
    return escape(isolated(visible(text)))
