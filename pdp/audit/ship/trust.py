"""TLS towards a target: its certificate is always checked, and ours is shown where there is one."""

from __future__ import annotations

import ssl

from pdp.audit.ship.destination import Trust
from pdp.audit.ship.target import ShipError


def context(trust: Trust) -> ssl.SSLContext:
    """Raises ShipError."""
    try:
        made = ssl.create_default_context(cafile=None if trust.ca_file is None else str(trust.ca_file))
        if trust.certificate_file is not None and trust.key_file is not None:
            made.load_cert_chain(str(trust.certificate_file), str(trust.key_file))
    except (OSError, ValueError) as error:
        raise ShipError(f"the certificates cannot be used: {type(error).__name__}") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
