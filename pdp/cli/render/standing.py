"""Grants and consents on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from pdp.cli.connection import word
from pdp.cli.render.requests import block, inert, item, name, when
from pdp.v1 import approval_pb2, consent_pb2


def grants(listed: Iterable[approval_pb2.Grant]) -> RenderableType:
    """A list of grants."""
    return Group(*(_grant(each) for each in listed))


def consents(listed: Iterable[consent_pb2.Consent]) -> RenderableType:
    """A list of consents."""
    return Group(*(_consent(each) for each in listed))


def consent(it: consent_pb2.Consent) -> RenderableType:
    """One consent as its subject is to judge it."""
    agent = Text.assemble(inert(it.agent, style="bold"))
    if it.agent_name:
        agent.append_text(Text.assemble(", which calls itself ", inert(it.agent_name), ","))
    return Group(
        Text.assemble("May the agent ", agent, " act for you?"),
        *block("What it may use", [_use(it)]),
        *block("What for, in policy's words", [inert(it.purpose)]),
        *(block("What agreeing covers", [inert(effect) for effect in it.effects]) if it.effects else ()),
        *(block("The call that asks", map(_argument, it.arguments)) if it.arguments else ()),
        *block(
            "References",
            [Text.assemble("id      ", inert(it.consent_id)), Text.assemble("shown   ", inert(it.presented))],
        ),
    )


def _grant(it: approval_pb2.Grant) -> RenderableType:
    state = word(approval_pb2.GrantState, it.state)
    used = f"used {it.used}" + (f" of {it.terms.uses}" if it.terms.uses else "")
    until = f", until {when(it.expires_at)}" if it.HasField("expires_at") else ""
    session = Text.assemble(", session ", inert(it.session)) if it.session else Text()
    head = Text.assemble(inert(it.tool), " on ", inert(it.server), " for ", name(it.subject), " by ", inert(it.agent))
    return item(head, Text.assemble(state, ", ", used, until, session), inert(it.grant_id))


def _consent(it: consent_pb2.Consent) -> RenderableType:
    state = word(consent_pb2.ConsentState, it.state)
    head = Text.assemble(inert(it.agent), ": ", _use(it), ", for ", inert(it.purpose))
    task = ", for one task alone" if it.effects else ""
    return item(head, Text(f"{state}, until {when(it.expires_at)}{task}"), inert(it.consent_id))


def _argument(row: approval_pb2.ArgumentRow) -> Text:
    return Text.assemble(inert(row.pointer), " = ", inert(row.value_json.decode()))


def _use(it: consent_pb2.Consent) -> Text:
    tool = Text.assemble(inert(it.tool), " on ") if it.tool else Text("all tools of ")
    scope = Text.assemble(", scope ", inert(it.scope)) if it.scope else Text()
    return Text.assemble(tool, inert(it.server), scope)
