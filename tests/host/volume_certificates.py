"""A certificate authority of a test's own, with certificates for hosts that reach volumes of each other."""

import ipaddress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from micronova.clock import SystemClock

Key = ec.EllipticCurvePrivateKey


def fill(folder: Path, address: str) -> None:
    """The folder holds what QEMU's tls-creds-x509 wants of a server at `address` and of a client."""
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _builder("authority", "authority", authority)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = root.add_extension(_usage(sign_certificates=True), critical=True)
    (folder / "ca-cert.pem").write_bytes(_pem(root.sign(authority, hashes.SHA256())))
    for name, purpose in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _builder(name, "authority", key)
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        leaf = leaf.add_extension(_usage(sign_certificates=False), critical=True)
        leaf = leaf.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        where = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        leaf = leaf.add_extension(where, critical=False)
        (folder / f"{name}-cert.pem").write_bytes(_pem(leaf.sign(authority, hashes.SHA256())))
        (folder / f"{name}-key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _builder(name: str, issuer: str, key: Key) -> x509.CertificateBuilder:
    now = SystemClock().now()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
