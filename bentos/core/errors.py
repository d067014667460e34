"""Every error of the product, and the one table that maps them to HTTP and gRPC.

::

    FraudError
    ├── InvalidInput            the caller's data is wrong; carries the path of each wrong field
    ├── DataError               a table, mapping or split cannot be used for training
    ├── ConfigError             a setting or configuration file is wrong
    ├── ArtifactError           an artifact cannot be written or served
    │   ├── ArtifactMissing     there is none (no champion yet, wrong folder)
    │   ├── ArtifactCorrupt     a file is missing, changed or unreadable
    │   ├── ArtifactIncompatible  made for another feature schema or format
    │   ├── SignatureInvalid    a public key is set and the signature is missing or wrong
    │   └── ParityError         exported scores or contributions differ from the trained model's
    ├── RegistryError           MLflow lacks a version, alias or run, or refuses the promotion
    ├── NotFound                an unknown job or record
    ├── Conflict                not in this state: a result before the job has ended, a lease that another holds
    ├── Expired                 it was there, and its retention is over
    ├── NotAllowed              the method or path exists, the call is not allowed
    ├── Unauthenticated         no key, or a wrong one
    ├── Overloaded              shed before any work was done; try again
    └── Unavailable             something needed is down

A message says what arrived, what is allowed and what to do. Errors of libraries are wrapped
with ``raise … from`` and never reach a caller of the service as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = [
    "WIRE_STATUS",
    "ArtifactCorrupt",
    "ArtifactError",
    "ArtifactIncompatible",
    "ArtifactMissing",
    "ConfigError",
    "Conflict",
    "DataError",
    "Expired",
    "FieldError",
    "FraudError",
    "InvalidInput",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "ParityError",
    "RegistryError",
    "SignatureInvalid",
    "Unauthenticated",
    "Unavailable",
    "WireStatus",
    "wire_status",
]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: ``path`` in dotted form (``customer_latitude``, ``transactions.3.amount``)."""

    path: str
    message: str


class FraudError(Exception):
    """Root of all errors this product raises on purpose."""


class InvalidInput(FraudError):
    """The caller's data is wrong.

    Parameters
    ----------
    errors
        One entry per wrong field, in the order of the fields.
    """

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in errors))


class DataError(FraudError):
    """A table, a mapping or a split cannot be used."""


class ConfigError(FraudError):
    """A setting or a configuration file is wrong."""


class ArtifactError(FraudError):
    """An artifact cannot be written or served."""


class ArtifactMissing(ArtifactError):
    """There is no artifact where one is needed."""


class ArtifactCorrupt(ArtifactError):
    """A file of the artifact is missing, changed or unreadable."""


class ArtifactIncompatible(ArtifactError):
    """The artifact was made for another feature schema or artifact format."""


class SignatureInvalid(ArtifactError):
    """A public key is set and the manifest's signature is missing or wrong."""


class ParityError(ArtifactError):
    """Exported scores or contributions differ from the trained model's."""


class RegistryError(FraudError):
    """The model registry lacks what was asked for, or refuses a promotion."""


class NotFound(FraudError):
    """An unknown job or record."""


class Conflict(FraudError):
    """What was asked for does not fit the state of its object, such as a result before the job has ended."""


class Expired(FraudError):
    """What was asked for was there, and its retention is over."""


class NotAllowed(FraudError):
    """The caller is known but may not do this."""


class Unauthenticated(FraudError):
    """No key was sent, or a wrong one."""


class Overloaded(FraudError):
    """Shed before any work was done.

    Parameters
    ----------
    retry_after_seconds
        When the caller may try again.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(FraudError):
    """Something that is needed is down."""


@dataclass(frozen=True, slots=True)
class WireStatus:
    """How one kind of error looks on both transports."""

    http: HTTPStatus
    grpc: str
    title: str


#: Subclasses inherit their parent's line. ``FraudError`` itself is the line of the unexpected.
WIRE_STATUS: dict[type[FraudError], WireStatus] = {
    InvalidInput: WireStatus(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_ARGUMENT", "Invalid input"),
    NotFound: WireStatus(HTTPStatus.NOT_FOUND, "NOT_FOUND", "Not found"),
    Conflict: WireStatus(HTTPStatus.CONFLICT, "FAILED_PRECONDITION", "Conflict"),
    Expired: WireStatus(HTTPStatus.GONE, "NOT_FOUND", "Expired"),
    NotAllowed: WireStatus(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", "Not allowed"),
    Unauthenticated: WireStatus(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "Not authenticated"),
    Overloaded: WireStatus(HTTPStatus.TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", "Too many requests"),
    Unavailable: WireStatus(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "Unavailable"),
    ArtifactError: WireStatus(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "No usable model"),
    DataError: WireStatus(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_ARGUMENT", "Unusable data"),
    ConfigError: WireStatus(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error"),
    RegistryError: WireStatus(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "Model registry unavailable"),
    FraudError: WireStatus(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error"),
}


def wire_status(error: BaseException) -> WireStatus:
    """Status of an error on the wire; whatever is not ours is the line of ``FraudError``."""
    for kind in type(error).__mro__:
        if kind in WIRE_STATUS:
            return WIRE_STATUS[kind]
    return WIRE_STATUS[FraudError]
