"""Methods of MCP and their kinds of targets (protocol versions 2024-11-05 to 2026-07-28).

A method that is not listed here is denied, unless the enforcing part knows it to carry neither data nor action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pdp.core.bytes.uri_template import is_template

TARGET_KINDS = ("tool", "prompt", "resource")
OPERATION = "generic"  # kind of an operation on a type of resource outside MCP
PINNED_KINDS = (*TARGET_KINDS, OPERATION)
TOOL_CALL, TOOL_LIST = "tools/call", "tools/list"
PROMPT_GET, RESOURCE_READ = "prompts/get", "resources/read"
COMPLETE = "completion/complete"
SUBSCRIBE, UNSUBSCRIBE, LISTEN = "resources/subscribe", "resources/unsubscribe", "subscriptions/listen"

# The kinds of target that a method may name. A completion is a read of the prompt, or of the resource template, whose
# argument it completes; a subscription a read of the resource.
CALLS: Mapping[str, tuple[str, ...]] = {
    TOOL_CALL: ("tool",),
    PROMPT_GET: ("prompt",),
    RESOURCE_READ: ("resource",),
    SUBSCRIBE: ("resource",),
    UNSUBSCRIBE: ("resource",),
    COMPLETE: ("prompt", "resource"),
}
ROUNDS = frozenset({TOOL_CALL, PROMPT_GET, RESOURCE_READ})  # methods whose result may be `input_required`
# what a client may ask `LISTEN` for
NOTIFICATIONS = frozenset({"toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"})
MAX_SUBSCRIPTIONS = 100  # resources of one `LISTEN`, of which each is decided as a subscription
DEFAULT_CALL: Mapping[str, str] = {"tool": TOOL_CALL, "prompt": PROMPT_GET, "resource": RESOURCE_READ}  # by kind


@dataclass(frozen=True, slots=True)
class ListMethod:
    """A list method. `member` of its result holds the definitions, whose names are under `identity`."""

    kind: str
    member: str
    identity: str

    def lists(self, name: str) -> bool:
        """Whether this method lists a name, rather than another method of the same kind."""
        return self.kind != "resource" or is_template(name) == (self.identity == "uriTemplate")


LISTS: Mapping[str, ListMethod] = {
    TOOL_LIST: ListMethod("tool", "tools", "name"),
    "prompts/list": ListMethod("prompt", "prompts", "name"),
    "resources/list": ListMethod("resource", "resources", "uri"),
    "resources/templates/list": ListMethod("resource", "resourceTemplates", "uriTemplate"),
}


def operation_of(resource_type: str, action: str) -> str:
    """The name of an operation: `<type>/<action>`. A slash within the type is escaped, so names are unambiguous."""
    return f"{quote(resource_type, safe=_PLAIN)}/{action}"


_PLAIN = "!$&'()*+,:;=@ "


def label_of(kind: str, name: str) -> str:
    """The label of a target in approvals, switches and review files: a tool's bare name, else `<kind>:<name>`."""
    return name if kind == "tool" else f"{kind}:{name}"
