"""Ed25519 signatures (RFC 8032). Keys travel as base64 of their 32 bytes."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bentos.core.errors import ConfigError

__all__ = ["decode_key", "generate_keys", "public_key_of", "sign", "verify"]


def decode_key(text: str, name: str = "the key") -> bytes:
    """32 bytes from base64.

    Raises
    ------
    ConfigError
        Says which key is malformed, never what it holds.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        # Without a cause: the library's message could quote a secret.
        raise ConfigError(f"{name} is no Ed25519 key: needed are 32 bytes in base64, 44 characters") from None
    return key


def generate_keys() -> tuple[str, str]:
    """A new pair: private and public key in base64."""
    private = Ed25519PrivateKey.generate().private_bytes_raw()
    return base64.b64encode(private).decode(), public_key_of(private)


def public_key_of(private_key: bytes) -> str:
    """The public key, in base64, that belongs to the 32 bytes of a private one."""
    return base64.b64encode(_load(private_key).public_key().public_bytes_raw()).decode()


def sign(private_key: bytes, content: bytes) -> bytes:
    """Signature of 64 bytes."""
    return _load(private_key).sign(content)


def verify(public_key: bytes, signature: bytes, content: bytes) -> bool:
    """Whether the signature is this key's over this content."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _load(private_key: bytes) -> Ed25519PrivateKey:
    if len(private_key) != 32:
        raise ConfigError(f"an Ed25519 private key has 32 bytes, this one has {len(private_key)}")
    return Ed25519PrivateKey.from_private_bytes(private_key)
