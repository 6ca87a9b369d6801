"""Signing in: the backend, the throttle, known devices, the step between the two factors, and how long a session lasts."""

import ipaddress
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.backends import BaseBackend
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, Q, Sum
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from django_htmx.http import HttpResponseClientRefresh

from accounts import access, audit, lifecycle, passwords, second_factor
from accounts.models import Mailbox, SecondFactor
from domains import addresses

DEVICE_COOKIE = "__Host-device" if settings.SESSION_COOKIE_SECURE else "mailpanel_device"
DEVICE_AGE = 180 * 24 * 3600
_SALT = "accounts.device"
TRUST_COOKIE = "__Host-second-factor" if settings.SESSION_COOKIE_SECURE else "mailpanel_second_factor"
_TRUST_SALT = "accounts.second_factor.device"
_HALFWAY = (
    "halfway"  # the session's name for somebody whose password was right and whose code is still to come
)
HALFWAY_SECONDS = 600


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
        if not right or not mailbox.is_active or mailbox.is_probe:
            return None
        if passwords.needs_renewal(mailbox.password):
            lifecycle.renew_hash(mailbox, password)
        return mailbox

    def get_user(self, user_id):
        mailbox = Mailbox.objects.select_related("domain", "second_factor").filter(pk=user_id).first()
        return mailbox if mailbox and mailbox.is_active and not mailbox.is_probe else None

    def _find(self, username: str) -> Mailbox | None:
        try:
            email = addresses.parse_mailbox(username)
        except ValidationError:
            return None
        return Mailbox.objects.select_related("domain", "second_factor").filter(email=email).first()


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


@dataclass(frozen=True)
class Pause:
    """Sign-in that is refused until then, after so many wrong passwords from an address; or, where that is empty, after
    wrong codes, which count wherever they come from."""

    failures: int
    until: datetime
    address: str = ""


def pauses(mailbox: Mailbox) -> list[Pause]:
    """What keeps this person from signing in for now: wrong passwords by their addresses, five at most, and wrong codes."""
    lasts = timedelta(minutes=settings.MAILPANEL_SIGNIN_PAUSE_MINUTES)
    sources = (
        AccessAttempt.objects.filter(username=mailbox.email, attempt_time__gte=timezone.now() - lasts)
        .values_list("ip_address")
        .annotate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
        .filter(failures__gte=settings.AXES_FAILURE_LIMIT)
        .order_by("-last")
    )
    found = [Pause(failures, last + lasts, address or "?") for address, failures, last in sources[:5]]
    factor = second_factor.of(mailbox)
    if factor and factor.throttling_failure_count >= second_factor.ALARM:
        allowed, why = factor.verify_is_allowed()
        if not allowed:
            found.append(Pause(why["failure_count"], why["locked_until"]))
    return found


def unlock(mailbox: Mailbox, *, by: audit.By) -> None:
    """Forget the wrong passwords and codes of this mailbox, and of no other."""
    with transaction.atomic():
        lifecycle.held(mailbox)
        AccessAttempt.objects.filter(username=mailbox.email).delete()
        SecondFactor.objects.filter(user=mailbox).update(
            throttling_failure_count=0, throttling_failure_timestamp=None
        )
        audit.record(by, "unlock", "mailbox", mailbox.email, domain=mailbox.domain_id)


# --- between the two factors --------------------------------------------------------------------------------


def stop_halfway(request, mailbox: Mailbox, target: str) -> None:
    """Remember in a new session, and for ten minutes, whose password was right, and where to go after the code."""
    request.session.flush()
    request.session[_HALFWAY] = [mailbox.pk, _state(mailbox), int(time.time()), target]


def halfway(request) -> tuple[Mailbox, str] | None:
    """Whose password was right in this session and where that person wanted to go. None when it is too long ago, or
    the password, the second factor or the state of the mailbox has changed since."""
    if _HALFWAY not in request.session:
        return None
    key, state, since, target = request.session[_HALFWAY]
    mailbox = MailboxBackend().get_user(key)
    if (
        mailbox is None
        or second_factor.of(mailbox) is None
        or not constant_time_compare(state, _state(mailbox))
    ):
        return None
    return (mailbox, target) if 0 <= time.time() - since < HALFWAY_SECONDS else None


def enter(request, mailbox: Mailbox) -> None:
    """Sign in, with a new session key. Only here are the wrong passwords forgotten, so that guessing codes needs them all."""
    request.session.pop(_HALFWAY, None)
    login(request, mailbox, backend="accounts.authentication.MailboxBackend")


def is_trusted(request, mailbox: Mailbox) -> bool:
    """This browser need not show a code: it did so, in the days of the setting, and nothing has changed since."""
    days = settings.MAILPANEL_SECOND_FACTOR_DEVICE_DAYS
    try:
        key, state = signing.loads(
            request.COOKIES.get(TRUST_COOKIE, ""), salt=_TRUST_SALT, max_age=days * 24 * 3600
        )
    except (signing.BadSignature, ValueError, TypeError):
        return False
    return days > 0 and key == mailbox.pk and constant_time_compare(state, _state(mailbox))


def trust(response, mailbox: Mailbox) -> None:
    response.set_cookie(
        TRUST_COOKIE,
        signing.dumps([mailbox.pk, _state(mailbox)], salt=_TRUST_SALT),
        max_age=settings.MAILPANEL_SECOND_FACTOR_DEVICE_DAYS * 24 * 3600,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _state(mailbox: Mailbox) -> str:
    """Changes with the password and with each setting up and taking off of a second factor."""
    return salted_hmac(_TRUST_SALT, mailbox.get_session_auth_hash(), algorithm="sha256").hexdigest()


# --- the session --------------------------------------------------------------------------------------------


class SessionRulesMiddleware:
    """Ends a session that is idle or old, sooner for people with a role; holds who must change the password to that,
    then who must have a second factor to setting it up, and who still owes the code of one to that."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        if response.status_code == 302 and getattr(request, "htmx", False):
            response = HttpResponseClientRefresh()  # or the sign-in page would be put into a part of this one
        add_never_cache_headers(
            response
        )  # pages are for one person; static files are answered before they come here
        return response

    def process_view(self, request, view, args, kwargs):
        if not request.user.is_authenticated:
            if getattr(view, "login_required", True) and halfway(request):
                return redirect("accounts:second_step")
            return None
        now, session = int(time.time()), request.session
        idle, age = _limits(request.user)
        if now - session.get("seen", now) > idle or now - session.setdefault("signed_in", now) > age:
            logout(request)
            return None  # LoginRequiredMiddleware comes next, and leads to the sign-in page
        by_itself = (
            request.htmx and request.method == "GET"
        )  # a page that shows what changes; nobody may be there
        if now - session.get("seen", 0) >= min(60, idle) and not by_itself:
            session["seen"] = now
        page = request.resolver_match.view_name
        if page in _ALWAYS:
            return None
        if request.user.must_change_password:
            return redirect("accounts:password")
        if (
            page != _SETTING_UP
            and not second_factor.of(request.user)
            and second_factor.is_required(request.user)
        ):
            return redirect(_SETTING_UP)
        return None


_ALWAYS = {"accounts:password", "accounts:password_strength", "accounts:sign_out", "theme", "language"}
_SETTING_UP = "accounts:second_factor_set_up"


def _limits(person: Mailbox) -> tuple[int, int]:
    """Seconds: idle, and in all."""
    if access.rights(person).any:
        return (
            settings.MAILPANEL_STAFF_SESSION_IDLE_MINUTES * 60,
            settings.MAILPANEL_STAFF_SESSION_HOURS * 3600,
        )
    return settings.MAILPANEL_SESSION_IDLE_MINUTES * 60, settings.MAILPANEL_SESSION_HOURS * 3600
