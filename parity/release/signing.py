"""Ed25519 signatures in a DSSE envelope (https://github.com/secure-systems-lab/dsse, v1)."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from chunking.hashing import sha256_bytes
from parity.errors import ParityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAKE_KEYS = (
    "openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out pub.pem"
)


def sign(payload: bytes, key_file: Path) -> bytes:
    """The envelope of a payload, signed with a private key in PEM, without a password.

    Raises:
        ParityError: the key is missing or no such key, or `cryptography` is not installed.
    """
    key = _private_key(key_file)
    document = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [
            {
                "keyid": key_id(key.public_key()),
                "sig": base64.b64encode(key.sign(_encoded(payload))).decode("ascii"),
            }
        ],
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def check(envelope: bytes, payload: bytes, key_file: Path) -> str:
    """Why an envelope does not vouch for a payload, or "".

    Args:
        envelope: what `sign` gave.
        payload: what must have been signed.
        key_file: a public key in PEM.

    Raises:
        ParityError: the key is missing or no such key, or `cryptography` is not installed.
    """
    key = _public_key(key_file)
    from cryptography.exceptions import InvalidSignature

    try:
        document = json.loads(envelope)
        signed = base64.b64decode(document["payload"], validate=True)
        kind, signatures = document["payloadType"], document["signatures"]
        given = {entry["keyid"]: base64.b64decode(entry["sig"]) for entry in signatures}
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        return f"not a signature ({type(error).__name__})"
    if kind != PAYLOAD_TYPE:
        return "a signature of something else"
    wanted = key_id(key)
    if wanted not in given:
        return f"signed by another key ({', '.join(str(k)[:16] for k in given) or 'none'})"
    try:
        key.verify(given[wanted], _encoded(signed))
    except InvalidSignature:
        return "the signature does not fit"
    return "" if signed == payload else "what was signed is another statement"


def key_id(key: Ed25519PublicKey) -> str:
    """The SHA-256 of the public key (DER, SubjectPublicKeyInfo)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, version 1."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _private_key(path: Path) -> Ed25519PrivateKey:
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:  # TypeError: it has a password
        raise _no_key(path, "private") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key(path, "private")
    return cast("Ed25519PrivateKey", key)


def _public_key(path: Path) -> Ed25519PublicKey:
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_public_key(_read(path))
    except ValueError as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key(path, "public")
    return cast("Ed25519PublicKey", key)


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise ParityError(
            "signatures need cryptography, which is not installed",
            hint="pip install 'trufor-onnx[release]'",
        ) from error
    return serialization, ed25519


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ParityError(f"{path}: cannot be read ({error.strerror})", hint=MAKE_KEYS) from error


def _no_key(path: Path, kind: str) -> ParityError:
    return ParityError(
        f"{path}: no {kind} Ed25519 key in PEM without a password", hint=f"make one: {MAKE_KEYS}"
    )
