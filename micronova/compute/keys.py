"""Public keys: made, checked, and known by their fingerprints. Pure but for the randomness of new keys."""

import base64
import binascii
import hashlib
import struct
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from micronova.errors import BadRequest

RSA_BITS = 2048
MAX_KEY = 16384
_CHECKED = ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-")
"""Beginnings of the types that the library can take apart; of others (security keys) only the outer form is checked."""
_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


class NewKey(msgspec.Struct, frozen=True):
    """A key pair just made. The private half is kept nowhere."""

    private_key: str
    public_key: str
    fingerprint: str


def generate_ssh() -> NewKey:
    """A new RSA key, private half in the form every ssh client reads."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    text = f"{public.decode()} Generated-by-Micronova"
    return NewKey(_private_text(key), text, ssh_fingerprint(text))


def generate_x509(user_id: str, now: datetime) -> NewKey:
    """A new self-signed client certificate for a user, valid ten years from `now`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64] or "user")])
    upn = x509.OtherName(_UPN, b"\x0c" + _length(user_id.encode()) + user_id.encode())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([upn]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return NewKey(_private_text(key), text, x509_fingerprint(text))


def ssh_fingerprint(text: str) -> str:
    """The MD5 fingerprint of a public key in OpenSSH's form (RFC 4253, 6.6). Raises BadRequest when it is none."""
    words = text.split(None, 2)
    if len(words) < 2 or len(text) > MAX_KEY:
        raise _not_a_key()
    try:
        blob = base64.b64decode(words[1], validate=True)
        (size,) = struct.unpack(">I", blob[:4])
        if blob[4 : 4 + size].decode("ascii") != words[0] or len(blob) <= 4 + size:
            raise _not_a_key()
        if words[0].startswith(_CHECKED):
            serialization.load_ssh_public_key(" ".join(words[:2]).encode())
    except (ValueError, binascii.Error, struct.error, UnsupportedAlgorithm) as err:
        raise _not_a_key() from err
    return _colons(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def x509_fingerprint(text: str) -> str:
    """The SHA-1 fingerprint of a certificate in PEM. Raises BadRequest when it is none."""
    try:
        certificate = x509.load_pem_x509_certificate(text[:MAX_KEY].encode())
    except (ValueError, UnicodeEncodeError) as err:
        raise _not_a_key() from err
    return _colons(certificate.fingerprint(hashes.SHA1()).hex())


def _private_text(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _length(value: bytes) -> bytes:
    """The length of a DER value (X.690, 8.1.3)."""
    if len(value) < 128:
        return bytes([len(value)])
    digits = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def _colons(digits: str) -> str:
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def _not_a_key() -> BadRequest:
    return BadRequest("Keypair data is invalid: failed to generate fingerprint")
