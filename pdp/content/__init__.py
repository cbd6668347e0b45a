"""Content of a call: strict JSON, the pinned schema, findings."""

from pdp.content.arguments import ArgumentContent
from pdp.content.options import ContentOptions

__all__ = ["ArgumentContent", "ContentOptions"]
