"""What the first stores with requests lack: revision 0002 was extended after it had been used, by what a judge's
answer rests on. Their answers have no basis, so none of them counts any more."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pdp.store.migrations.statements import apply

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns where they are not there."""
    if "basis" not in {column["name"] for column in inspect(op.get_bind()).get_columns("evidence")}:
        apply(__file__)
