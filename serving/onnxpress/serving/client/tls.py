"""Trust in a server's certificate, and what to say where a server cannot be reached."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.core.errors import ServerError, UsageError
from onnxpress.serving.client.address import Address

if TYPE_CHECKING:
    from ssl import SSLContext


def context(address: Address, ca: str | Path | None) -> SSLContext | None:
    """What https trusts: the certificates in the PEM file `ca`, or the system's; None for http.

    Raises UsageError where the file cannot be read, or the address is not https.
    """
    if not address.tls:
        if ca is not None:
            raise UsageError("a certificate authority is given, and the URL is not https", where=address.url)
        return None
    import ssl  # 10 ms, and most servers inside a cluster speak plain HTTP

    if ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca))
    except OSError as error:  # ssl.SSLError, for what is no PEM, is one too
        raise UsageError(f"the certificates cannot be read: {error}", where=str(ca)) from None


def unreachable(error: OSError, where: str) -> ServerError:
    """The error of a connection as a sentence."""
    if isinstance(error, socket.gaierror):
        return ServerError(f"there is no such host: {error.strerror}", where=where)
    reason = getattr(error, "verify_message", None)  # of ssl.SSLCertVerificationError
    if reason:
        hint = "give the certificate of the authority that signed the server's as ca="
        return ServerError(f"the server's certificate is not trusted: {reason}", where=where, hint=hint)
    return ServerError(f"the server cannot be reached: {error.strerror or error}", where=where)
