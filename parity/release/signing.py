"""Ed25519 signatures in a DSSE envelope (https://github.com/secure-systems-lab/dsse, v1)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIGNATURE_BYTES = 64  # of Ed25519
_KEY_ID = re.compile(r"[0-9a-f]{64}")
MAKE_KEYS = (
    "openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out pub.pem"
)
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:trufor-onnx:model-release:v1"
LOCAL_BUILDER = "urn:trufor-onnx:builder:unnamed"


def sign(payload: bytes, key_file: Path) -> bytes:
    """The envelope of a payload, signed with a private key in PEM, without a password.

    Raises:
        ParityError: the key is missing or no such key, or `cryptography` is not installed.
    """
    key = _private_key(key_file)
    return _envelope(payload, {key_id(key.public_key()): key.sign(_encoded(payload))})


def _envelope(payload: bytes, signatures: Mapping[str, bytes]) -> bytes:
    document = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [
            {"keyid": key, "sig": base64.b64encode(signature).decode("ascii")}
            for key, signature in signatures.items()
        ],
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _read_envelope(envelope: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The payload, and the signatures by the digests of their keys. No signature is checked.

    Raises:
        ValueError: it is none, or is one of something else than a statement; it says why.
    """
    try:
        document = parse_json(envelope)
    except ValueError as error:
        raise ValueError(f"not a signature ({error})") from error
    try:
        if document["payloadType"] != PAYLOAD_TYPE:
            raise ValueError("a signature of something else")
        payload = base64.b64decode(document["payload"], validate=True)
        given = {
            entry["keyid"]: base64.b64decode(entry["sig"], validate=True)
            for entry in document["signatures"]
        }
    except (KeyError, TypeError, UnicodeError) as error:
        raise ValueError(f"not a signature ({type(error).__name__})") from error
    except binascii.Error as error:
        raise ValueError(f"not a signature ({error})") from error
    if not given:
        raise ValueError("not a signature (nobody has signed)")
    for key, signature in given.items():
        if not isinstance(key, str) or not _KEY_ID.fullmatch(key):
            raise ValueError("not a signature (a key without its digest)")
        if len(signature) != SIGNATURE_BYTES:
            raise ValueError(f"not a signature ({len(signature)} bytes, not {SIGNATURE_BYTES})")
    return payload, given


def vouched(envelope: bytes, payload: bytes) -> str:
    """Why an envelope is not one of this payload, or ""; whose it is takes a key: `check`."""
    try:
        signed, given = _read_envelope(envelope)
    except ValueError as error:
        return str(error)
    if signed != payload:
        return "what was signed is another statement"
    if _envelope(signed, given) != envelope:
        return "not in the form that a release has"  # other bytes of the same meaning
    return ""


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
        signed, given = _read_envelope(envelope)
    except ValueError as error:
        return str(error)
    wanted = key_id(key)
    if wanted not in given:
        return f"signed by another key ({', '.join(str(k)[:16] for k in given) or 'none'})"
    try:
        key.verify(given[wanted], _encoded(signed))
    except InvalidSignature:
        return "the signature does not fit"
    return vouched(envelope, payload)


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


@dataclass(frozen=True)
class BuildOrigin:
    """What a release was made of.

    Attributes:
        version: the release's.
        models: names of its networks, with variants.
        settings: digests of policy, tolerances and report, and what was let pass.
        checkpoints: digests of the weights' files, by name.
        revision: the source's git commit, or "".
        builder: who made it, a URI.
        tools: versions by name.
    """

    version: str
    models: Sequence[str]
    settings: Mapping[str, str]
    checkpoints: Mapping[str, str]
    revision: str
    builder: str
    tools: Mapping[str, str]


def statement(digests: Mapping[str, str], origin: BuildOrigin) -> bytes:
    """The statement over files.

    Args:
        digests: SHA-256 by name.
        origin: where they come from.
    """
    dependencies: list[dict[str, Any]] = [
        {"name": name, "digest": {"sha256": sha256}}
        for name, sha256 in sorted(origin.checkpoints.items())
    ]
    if origin.revision:
        dependencies.append({"name": "source", "digest": {"gitCommit": origin.revision}})
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digests[name]}} for name in sorted(digests)
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": origin.version, "models": list(origin.models)},
                "internalParameters": dict(origin.settings),
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": origin.builder, "version": dict(origin.tools)},
            },
        },
    }
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def subjects(document: object) -> dict[str, str]:
    """Digests by name, as a statement has them.

    Raises:
        ValueError: it is no such statement.
    """
    if not isinstance(document, dict) or document.get("_type") != STATEMENT_TYPE:
        raise ValueError("not an in-toto statement")
    found: dict[str, str] = {}
    for entry in _list(document.get("subject")):
        given = entry.get("digest")
        name, digest = entry.get("name"), given.get("sha256") if isinstance(given, dict) else None
        if not isinstance(name, str) or not isinstance(digest, str) or name in found:
            raise ValueError("a subject without name or digest, or twice")
        found[name] = digest
    return found


def version_of(document: Any) -> str:
    """The release's version.

    Raises:
        ValueError: the statement says none.
    """
    try:
        if document["predicateType"] != PREDICATE_TYPE:
            raise ValueError("no SLSA provenance")
        version = document["predicate"]["buildDefinition"]["externalParameters"]["version"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no version ({error})") from error
    return str(version)


def _list(given: object) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise ValueError("no list of subjects")
    return given
