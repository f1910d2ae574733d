"""The certificate that connections are taken with, and how another takes its place while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxpress.core.errors import UsageError
from onnxpress.serving.settings import Address

if TYPE_CHECKING:
    import ssl


def context_of(address: Address) -> ssl.SSLContext | None:
    """For connections to this address; None where it speaks no TLS. Raises UsageError for files that are no pair."""
    if address.tls_certificate is None:
        return None
    import ssl  # some 10 ms that most servers need not spend

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    _load(context, address)
    return context


def renew(context: ssl.SSLContext, address: Address) -> None:
    """Take new connections with the files as they are now; open ones go on with what they have.

    Raises UsageError for files that are no pair; then nothing is changed.
    """
    # The certificate is taken before its key is looked at: half of a new pair must not come to what is in use.
    context_of(address)
    _load(context, address)


def _load(context: ssl.SSLContext, address: Address) -> None:
    import ssl

    assert address.tls_certificate is not None
    try:
        context.load_cert_chain(address.tls_certificate, address.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificate or its key cannot be used: {error}", where=str(address.tls_certificate)
        ) from None
