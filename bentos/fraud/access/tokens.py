"""JSON web tokens (RFC 7519): who their issuer says that a caller is. The one place that imports PyJWT."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from bentos.core.errors import ConfigError, Unauthenticated, Unavailable
from bentos.fraud.access.callers import Caller
from bentos.fraud.access.jwks import Jwks
from bentos.fraud.access.settings import AccessSettings

__all__ = ["Tokens", "is_token"]

_MAXIMUM_TOKEN: Final = 8192
_REMEMBERED: Final = 10_000
_MAXIMUM_NAME: Final = 128
_ROLES: Final = frozenset(("score", "feedback", "admin"))


class Tokens:
    """Finds the caller of a token. Checking a signature costs 50 to 100 µs, so what was found is remembered.

    Parameters
    ----------
    settings
        What a token must say.
    jwks
        The issuer's keys.
    caller
        Makes a caller of a name, roles and the time until which they hold.

    Raises
    ------
    ConfigError
        When issuer or audience is not set: a token that the same issuer made for another service must not do.
    """

    def __init__(
        self, settings: AccessSettings, jwks: Jwks, caller: Callable[[str, frozenset[str], float], Caller]
    ) -> None:
        import jwt

        if settings.jwt_issuer is None or settings.jwt_audience is None:
            raise ConfigError("with FRAUD_JWT_JWKS_URL, FRAUD_JWT_ISSUER and FRAUD_JWT_AUDIENCE must be set too")
        self._jwt = jwt
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._claim = settings.jwt_roles_claim.split(".")
        self._leeway = settings.jwt_leeway_seconds
        self._jwks = jwks
        self._make = caller
        # By digest: memory that is dumped shows no tokens.
        self._known: OrderedDict[bytes, Caller] = OrderedDict()
        self._version = jwks.version

    def find(self, token: str) -> Caller:
        """The caller of a token.

        Raises
        ------
        Unauthenticated
            With what is wrong with it, in words that show none of it.
        Unavailable
            While the issuer's keys are not known.
        """
        if len(token) > _MAXIMUM_TOKEN:
            raise Unauthenticated(f"the token is longer than {_MAXIMUM_TOKEN} characters")
        if not self._jwks.fresh:
            self._jwks.want()
            raise Unavailable("the keys of tokens are not known now, so none can be checked; try again")
        if self._version != self._jwks.version:
            # A key that the issuer has withdrawn made some of them.
            self._known.clear()
            self._version = self._jwks.version
        digest = sha256(token.encode()).digest()
        caller = self._known.get(digest)
        if caller is not None:
            self._known.move_to_end(digest)
            return caller
        caller = self._caller(self._claims(token))
        self._known[digest] = caller
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return caller

    def _claims(self, token: str) -> Mapping[str, Any]:
        errors = self._jwt.exceptions
        try:
            kid = self._jwt.get_unverified_header(token).get("kid", "")
            keys = self._jwks.keys
            key = keys.get(kid) or (next(iter(keys.values())) if not kid and len(keys) == 1 else None)
            if key is None:
                self._jwks.want()
                raise Unauthenticated("the token is signed by a key that its issuer does not publish")
            claims: Mapping[str, Any] = self._jwt.decode(
                token,
                key,
                # The key's own and no other: the token does not choose.
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
        except errors.ExpiredSignatureError:
            raise Unauthenticated("the token has expired") from None
        except errors.InvalidIssuerError:
            raise Unauthenticated("the token is from another issuer") from None
        except errors.InvalidAudienceError:
            raise Unauthenticated("the token is for another audience") from None
        except errors.ImmatureSignatureError:
            raise Unauthenticated("the token is not valid yet") from None
        except errors.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token has no {error.claim}") from None
        except errors.PyJWTError:
            raise Unauthenticated("the token cannot be trusted: it is none, or not signed by its issuer") from None
        return claims

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        subject = str(claims.get("sub", ""))[:_MAXIMUM_NAME]
        name = subject if subject and subject.isascii() and subject.isprintable() else "token"
        return self._make(name, self._roles(claims), float(claims["exp"]) + self._leeway)

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        found: Any = claims
        for part in self._claim:
            found = found.get(part) if isinstance(found, Mapping) else None
        words = found.split() if isinstance(found, str) else found if isinstance(found, list) else ()
        return frozenset(word for word in words if isinstance(word, str) and word in _ROLES)


def is_token(credential: str) -> bool:
    """Whether a credential looks like a token: keys hold no dots."""
    return credential.count(".") == 2
