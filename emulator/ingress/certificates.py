"""The names a certificate is for, and whether a host is one of them. The library is loaded only when an Ingress has TLS."""

from __future__ import annotations


def names_of(pem: bytes) -> frozenset[str] | None:
    """DNS names and the common name, in lower case; None when the text is no certificate."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        common = [str(entry.value) for entry in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        try:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            alternative = extension.value.get_values_for_type(x509.DNSName)
        except x509.ExtensionNotFound:
            alternative = []
    except ValueError:
        return None
    return frozenset(name.lower() for name in (*common, *alternative))


def is_for(names: frozenset[str], host: str) -> bool:
    """Whether one of the names is the host's; a wildcard covers one label."""
    wild = "*." + host.partition(".")[2]
    return host.lower() in names or wild.lower() in names
