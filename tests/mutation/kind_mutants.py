"""Bugs planted where prompts and resources are told from tools, URIs from each other, known agents from others."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


KINDS = (
    *_in(
        "core/uri_template",
        ("uri-encoded-slash", " or _FOREIGN.search(value):", ":", "no value ends a path segment"),
        ("uri-encoded-anything", 'if quote(value, safe="") != raw or', "if", "one spelling of a value"),
        ("uri-dots", "return None if _DOTS.intersection(segments) else values", "return values", "no way up"),
        ("uri-split-anywhere", "for c in _UNRESERVED if c not in ends)", "for c in _UNRESERVED)", "one way to split"),
        ("uri-variables-side-by-side", " or not apart:", ":", "one way to split"),
    ),
    *_in(
        "registry/view",
        ("kinds-uri-of-two-templates", "if len(found) > 1:", "if len(found) > 9:", "an ambiguous URI is nobody's"),
        ("kinds-template-as-uri", "return uri, _NO_URI", "return uri, OK", "a URI template is no URI"),
        (
            "kinds-withdrawn-by-template",
            'if (server, label_of("resource", uri)) in snapshot.tools:',
            "if not snapshot.tools:",
            "a withdrawn resource is not read by a template",
        ),
        ("agents-expired", "at_ns < entry.expires_ns else", "entry.owner else", "the registration of an agent ends"),
        ("agents-everywhere", "server in entry.servers", "bool(entry.servers)", "an agent acts on its servers only"),
        (
            "agents-unverified",
            'snapshot.signed.agents.get(agent.id or "") if agent.check.ok else None',
            'snapshot.signed.agents.get(agent.id or "")',
            "an agent that is not verified is on no list",
        ),
    ),
    *_in(
        "registry/documents",
        (
            "kinds-in-the-first-format",
            "if self.schema_ != set_schema(self.servers, self.tools, self.agents):",
            "if not self.schema_:",
            "an older release reads no prompt as a tool",
        ),
    ),
    *_in(
        "registry/vetting",
        (
            "vetting-crashed",
            'each.get("executionSuccessful") is True',
            "each is not None",
            "a scanner that crashed found nothing",
        ),
        (
            "vetting-rejected",
            'each.get("status", "accepted") == "accepted"',
            "each is not None",
            "a refused suppression suppresses nothing",
        ),
        (
            "vetting-elsewhere",
            "if not path.is_relative_to(folder.resolve()):",
            "if not path:",
            "no file of elsewhere",
        ),
        ("vetting-changed-report", "if sha256_hex(raw) != sha256:", "if not raw:", "a report is what was signed"),
    ),
    *_in(
        "registry/manifest",
        ("kinds-of-any-name", "if name != self.name:", "if name is None:", "a manifest is of what it defines"),
        (
            "kinds-of-any-schema",
            "if self.schema_ != schema_of(self.target_kind, self.binds, *added):",
            "if not self.schema_:",
            "a manifest of one kind does not pass for another",
        ),
    ),
    *_in(
        "service/facts",
        (
            "kinds-any-method",
            "target.kind not in CALLS.get(ask.method, ()):",
            "ask.method not in CALLS:",
            "a method names its own kinds of target",
        ),
        (
            "kinds-one-digest-for-all-methods",
            '*((ask.method,) if target.kind != "tool" else ()),',
            "",
            "an approval is for one method",
        ),
        (
            "kinds-arguments-beside-the-uri",
            '                raise InvalidRequest("target.resource.arguments_json"',
            '                InvalidRequest("target.resource.arguments_json"',
            "arguments of a URI come from it alone",
        ),
        (
            "kinds-begun-for-all",
            "pinned.begun if pinned is not None and begun else pinned",
            "pinned.begun if pinned is not None else pinned",
            "only a completion may lack an argument",
        ),
    ),
    *_in(
        "adapters/mcp/enforcement",
        ("mcp-unsealed-state", "if call.method in ROUNDS else None)", ")", "a state is sealed"),
        ("mcp-hears-of-all", "for call in wanted:", "for call in ():", "a subscription is a read"),
    ),
)
