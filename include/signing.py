"""Sign what is sent to a partner's address, so that the partner knows who sent it and when.

The form is that of Standard Webhooks (headers ``webhook-id``, ``webhook-timestamp`` and
``webhook-signature``), for which libraries exist in most languages. What is signed is
``id.timestamp.body``: a body cannot be sent again under another id or at another time.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time

from include.errors import ConfigurationError

PREFIX = "whsec_"
SECRET_BYTES = 32
MIN_SECRET_BYTES = 24
MAX_AGE_S = 300
"""An older signature is refused: what somebody wrote down on the way is no use for long."""


def new_secret() -> str:
    """Draw a secret for one subscription."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Read the key that a secret stands for.

    Raises:
        ConfigurationError: It is no such secret; it is not repeated.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"a signing secret is {PREFIX} and at least {MIN_SECRET_BYTES} random bytes in base64: "
            "draw a new one"
        )
    return key


def signed_headers(secret: str, event_id: str, body: bytes, now_s: int) -> dict[str, str]:
    """Make the headers that go with a body."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{_signature(key_of(secret), event_id, str(now_s), body)}",
    }


def is_signed(
    secret: str, headers: dict[str, str], body: bytes, now_s: float | None = None
) -> bool:
    """Say whether a body came from whoever has the secret, and lately; for a receiver.

    Args:
        secret: Shared when the subscription was made.
        headers: Of the request, names in lower case.
        body: As it came, not parsed.
        now_s: Seconds since 1970; the clock's by default.

    >>> secret = new_secret()
    >>> headers = signed_headers(secret, "e-1", b"{}", 1_700_000_000)
    >>> is_signed(secret, headers, b"{}", 1_700_000_010), is_signed(secret, headers, b"[]", 1_700_000_010)
    (True, False)
    """
    event_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or len(stamp) > len(str(2**40)):
        return False
    if abs((time.time() if now_s is None else now_s) - int(stamp)) > MAX_AGE_S:
        return False
    expected = f"v1,{_signature(key_of(secret), event_id, stamp, body)}"
    return any(
        hmac.compare_digest(expected, given)
        for given in headers.get("webhook-signature", "").split(" ")
    )


def _signature(key: bytes, event_id: str, stamp: str, body: bytes) -> str:
    signed = b".".join((event_id.encode(), stamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
