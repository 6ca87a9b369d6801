"""An authenticator app, as RFC 6238 describes it and without the panel's code; and people who have one."""

import hashlib
import hmac
import struct
import time

from accounts import second_factor
from accounts.audit import By
from accounts.models import Audit, SecondFactor
from tests.people import find

KEY = "3132333435363738393031323334353637383930"  # that of the RFC's examples


def code(key: str = KEY, after: float = 0) -> str:
    """The six digits that the app shows `after` seconds from now."""
    step = struct.pack(">Q", int(time.time() + after) // 30)
    digest = hmac.digest(bytes.fromhex(key), step, hashlib.sha1)
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF) % 10**6:06}"


def wrong(key: str = KEY) -> str:
    """Six digits that the app shows at no time near."""
    near = {code(key, 30 * step) for step in range(-4, 5)}
    return next(f"{number:06}" for number in range(20) if f"{number:06}" not in near)


def give(name: str, key: str = KEY) -> list[str]:
    """Set it up for one of the cast, a while ago; the recovery codes. Nothing of it stands in the audit."""
    codes = second_factor.set_up(find(name), key, code(key), by=By("test"))
    SecondFactor.objects.filter(user=find(name)).update(last_t=-1)
    Audit.objects.filter(actor="test").delete()
    return codes
