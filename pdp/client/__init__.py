"""The Python client of the policy decision point. It needs grpcio, protobuf and nothing of the server.

It fails closed: an error, a doubt or a late answer is a `Decision` that is not allowed, never an exception.

    from pdp.client import Client, ToolCall

    with Client("unix:/run/pdp/pdp.sock", token=caller_token) as pdp:
        decision = pdp.decide(ToolCall("git", "git_status", {"repo_path": "/src"}, definition=tool), users_token)
        if decision.allowed:
            ...
"""

from pdp.client.aio import AsyncClient
from pdp.client.channel import PlaintextRefusedError, Tls
from pdp.client.sync import Client
from pdp.client.values import (
    Claims,
    Decision,
    Listing,
    Obligation,
    Pending,
    Reason,
    Record,
    Requirement,
    ServerPeer,
    Session,
    Tool,
    ToolCall,
    ToolList,
)

__all__ = [
    "AsyncClient",
    "Claims",
    "Client",
    "Decision",
    "Listing",
    "Obligation",
    "Pending",
    "PlaintextRefusedError",
    "Reason",
    "Record",
    "Requirement",
    "ServerPeer",
    "Session",
    "Tls",
    "Tool",
    "ToolCall",
    "ToolList",
]
