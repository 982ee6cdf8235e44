"""Digests of files, and as RECORD spells them: ``sha256=``, unpadded base64 (PEP 376, PEP 427)."""

from __future__ import annotations

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Iterable

#: "sha256 or better; specifically, md5, sha1 and sha224 cannot be used" is the
#: rule of the format; these are the ones that every hashlib has.
STRONG_HASHES = frozenset(
    {"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s"}
)


_URLSAFE = bytes.maketrans(b"+/", b"-_")


def new_hash(algorithm: str) -> HASH:
    """Start one of the `STRONG_HASHES`."""
    import hashlib  # noqa: PLC0415 - a tree without a RECORD never hashes

    if algorithm == "sha256":  # the usual one, past hashlib.new's search
        return hashlib.sha256()
    return hashlib.new(algorithm)


def encode_digest(algorithm: str, digest: bytes) -> str:
    """Spell a digest as RECORD does: ``sha256=`` and unpadded urlsafe base64."""
    encoded = binascii.b2a_base64(digest, newline=False).translate(_URLSAFE).rstrip(b"=")
    return f"{algorithm}={encoded.decode('ascii')}"


def digest_of(pieces: Iterable[bytes], algorithm: str = "sha256") -> str:
    """Give the digest of bytes that come in pieces, as RECORD spells it."""
    state = new_hash(algorithm)
    for piece in pieces:
        state.update(piece)
    return encode_digest(algorithm, state.digest())


def sha256_of(file: str | int) -> bytes:
    """Give the sha256 of a file: a path, or a descriptor, which stays open."""
    state = new_hash("sha256")
    with open(file, "rb", closefd=isinstance(file, str)) as stream:
        stream.seek(0)
        while block := stream.read(1 << 20):
            state.update(block)
    return state.digest()
