"""What a caller must be allowed to do for each call: one table for HTTP and gRPC.

Roles are apart from each other: a key has each that it needs and no other, and ``admin`` does not include the rest. A
shop's key that leaks cannot read other customers, and an operator's cannot feed made-up payments into the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

__all__ = ["CALL_ROLES", "UNKNOWN_ADDRESS", "UNKNOWN_CALL", "Need", "Role", "call_roles"]

#: What a key may be allowed to do, or "none" for what is open to everybody.
Role: TypeAlias = Literal["none", "score", "feedback", "admin"]
#: What a call asks for: a role, or "any" for who is known at all.
Need: TypeAlias = Literal["none", "score", "feedback", "admin", "any"]

#: By the name that a call has in metrics, which is the same on both transports. Routes have theirs beside them.
CALL_ROLES: Final[Mapping[str, Need]] = {
    "predict": "score",
    "explain": "score",
    "predict_many": "score",
    "infer": "score",
    "shadow": "score",
    "model": "score",
    "model_metadata": "score",
    "feedback": "feedback",
    # Probes and tools ask these before they could have a key. They tell no more than that there is a server.
    "alive": "none",
    "health": "none",
    "server_live": "none",
    "server_ready": "none",
    "server_metadata": "none",
    "model_ready": "none",
    "reflection": "none",
}
#: Of a call that the table does not name: a new one is closed until somebody decides.
UNKNOWN_CALL: Final[Need] = "admin"
#: Of an address where nothing is: who is not known does not even learn that.
UNKNOWN_ADDRESS: Final[Need] = "any"


def call_roles(metrics_role: Role, docs_role: Role) -> dict[str, Need]:
    """The table with the pages that settings decide."""
    return {**CALL_ROLES, "metrics": metrics_role, "docs": docs_role, "other": UNKNOWN_ADDRESS}
