"""Signing in: the backend, the throttle, known devices, and how long a session lasts."""

import ipaddress
import secrets
import time

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.backends import BaseBackend
from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Q, Sum
from django.shortcuts import redirect
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables

from accounts import access, lifecycle, passwords
from accounts.models import Mailbox
from domains import addresses

DEVICE_COOKIE = "__Host-device" if settings.SESSION_COOKIE_SECURE else "mailpanel_device"
DEVICE_AGE = 180 * 24 * 3600
_SALT = "accounts.device"


class MailboxBackend(BaseBackend):
    """Address and password against the table `user`; a row that is malformed, off or unknown costs the same time."""

    @method_decorator(sensitive_variables("password"))
    def authenticate(self, request, username=None, password=None, **kwargs):
        mailbox = self._find(username or "")
        if mailbox is None:
            passwords.spend(password or "")
            return None
        right = mailbox.check_password(password)
        if not right and not mailbox.password.startswith(f"{{{settings.MAILPANEL_PASSWORD_SCHEME}}}"):
            passwords.spend(
                password or ""
            )  # the older schemes are quicker, which would tell that the mailbox exists
        if not right or not mailbox.is_active:
            return None
        if passwords.needs_renewal(mailbox.password):
            lifecycle.renew_hash(mailbox, password)
        return mailbox

    def get_user(self, user_id):
        mailbox = Mailbox.objects.select_related("domain").filter(pk=user_id).first()
        return mailbox if mailbox and mailbox.is_active else None

    def _find(self, username: str) -> Mailbox | None:
        try:
            email = addresses.parse_mailbox(username)
        except ValidationError:
            return None
        return Mailbox.objects.select_related("domain").filter(email=email).first()


# --- who is at the other end --------------------------------------------------------------------------------


def client_address(request) -> str:
    """The client's address; X-Forwarded-For is read only as far as trusted proxies wrote it."""
    address = request.META.get("REMOTE_ADDR", "")
    forwarded = [
        part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()
    ]
    while forwarded and _is_trusted(address):
        address = forwarded.pop()
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:  # a unix socket, or nonsense from behind a proxy
        return ""


def _is_trusted(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address == ""  # gunicorn on a unix socket names no peer; only our own proxy can reach it
    return any(parsed in network for network in settings.MAILPANEL_TRUSTED_PROXIES)


def throttled_address(request) -> str | None:
    """The address that guesses are counted for: an IPv6 client owns its /64, so that counts as one."""
    address = client_address(request)
    if ":" in address:
        return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)
    return address or None


class Throttle(AxesDatabaseHandler):
    """Counts wrong passwords for each (account, address), and for each address over all accounts.

    A device on which the owner has signed in before counts for itself alone: guesses from elsewhere, even from the
    same address, do not shut the owner out.
    """

    def user_login_failed(self, sender, credentials, request=None, **kwargs):
        device = known_device(request, get_client_username(request, credentials)) if request else None
        if device:
            request.axes_user_agent = f"device {device}"
        super().user_login_failed(sender, credentials, request=request, **kwargs)

    def get_failures(self, request, credentials=None) -> int:
        username = get_client_username(request, credentials)
        attempts = AccessAttempt.objects.filter(attempt_time__gte=get_cool_off_threshold(request))
        if device := known_device(request, username):
            attempts = attempts.filter(username=username, user_agent=f"device {device}")
            return attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
        failures = attempts.filter(ip_address=request.axes_ip_address).aggregate(
            here=Sum("failures_since_start", default=0),
            pair=Sum("failures_since_start", filter=Q(username=username), default=0),
        )
        if failures["here"] >= settings.MAILPANEL_SIGNIN_TRIES_PER_ADDRESS:
            return settings.AXES_FAILURE_LIMIT
        return failures["pair"]


def known_device(request, username: str | None) -> str | None:
    """The name of this device, if the account has signed in on it before."""
    try:
        email, device = signing.loads(request.COOKIES.get(DEVICE_COOKIE, ""), salt=_SALT, max_age=DEVICE_AGE)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return device if email == username else None


def remember_device(response, mailbox: Mailbox) -> None:
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps([mailbox.email, secrets.token_hex(8)], salt=_SALT),
        max_age=DEVICE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


# --- the session --------------------------------------------------------------------------------------------


class SessionRulesMiddleware:
    """Ends a session that is idle or old, sooner for people with a role; holds who must change the password to that."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        add_never_cache_headers(
            response
        )  # pages are for one person; static files are answered before they come here
        return response

    def process_view(self, request, view, args, kwargs):
        if not request.user.is_authenticated:
            return None
        now, session = int(time.time()), request.session
        idle, age = _limits(request.user)
        if now - session.get("seen", now) > idle or now - session.setdefault("signed_in", now) > age:
            logout(request)
            return None  # LoginRequiredMiddleware comes next, and leads to the sign-in page
        if now - session.get("seen", 0) >= min(60, idle):
            session["seen"] = now
        if (
            request.user.must_change_password
            and request.resolver_match.view_name not in _WITHOUT_NEW_PASSWORD
        ):
            return redirect("accounts:password")
        return None


_WITHOUT_NEW_PASSWORD = {
    "accounts:password",
    "accounts:password_strength",
    "accounts:sign_out",
    "theme",
    "language",
}


def _limits(person: Mailbox) -> tuple[int, int]:
    """Seconds: idle, and in all."""
    if access.rights(person).any:
        return (
            settings.MAILPANEL_STAFF_SESSION_IDLE_MINUTES * 60,
            settings.MAILPANEL_STAFF_SESSION_HOURS * 3600,
        )
    return settings.MAILPANEL_SESSION_IDLE_MINUTES * 60, settings.MAILPANEL_SESSION_HOURS * 3600
