"""Every knob of the panel, read from the environment.

A name ending in ``_FILE`` may stand for any secret: its content is read instead. A value that makes no
sense stops the start with a sentence that names the variable. The README has the same table for people.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, validate

from mailpanel.daemons import targets
from mailpanel.environment import (
    addresses,
    blocklists,
    env,
    kept,
    kept_secret_key,
    limit,
    mail_host,
    networks,
    ports,
    secret,
    webhook,
)

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    # Where everything that changes lives: database, mail, the private daemons.
    MAILPANEL_VAR = Path(env.str("MAILPANEL_VAR", str(BASE_DIR / "var"))).resolve()
    # Ports of the panel and the private daemons of `make run`: name=port pairs that differ from the defaults.
    MAILPANEL_PORTS = ports(env.dict("MAILPANEL_PORTS", {}, subcast_values=int))
    # The panel's own address as people type it; https here means secure cookies and HSTS.
    MAILPANEL_URL = env.str("MAILPANEL_URL", f"http://localhost:{MAILPANEL_PORTS['panel']}").rstrip("/")
    # sqlite:///PATH or mysql://USER:PASSWORD@HOST:PORT/NAME (?unix_socket=PATH)
    MAILPANEL_DATABASE_URL = secret(
        "MAILPANEL_DATABASE_URL", f"sqlite:///{MAILPANEL_VAR}/database/mail.sqlite3"
    )
    # Proxies whose X-Forwarded-For is believed: comma-separated addresses or networks.
    MAILPANEL_TRUSTED_PROXIES = networks(env.str("MAILPANEL_TRUSTED_PROXIES", ""))
    MAILPANEL_SECRET_KEY = secret("MAILPANEL_SECRET_KEY")

    # The server's name in greetings and on the pages, and who answers for postmaster@ and abuse@.
    MAILPANEL_HOSTNAME = env.str("MAILPANEL_HOSTNAME", "mail.example.test")
    MAILPANEL_POSTMASTER = env.str("MAILPANEL_POSTMASTER", "postmaster@example.test")

    # Dovecot's doveadm HTTP API, by which the panel ends sessions and flushes the auth cache. Unset, that of the
    # private copy under MAILPANEL_VAR, while it runs.
    MAILPANEL_DOVEADM_URL = env.str("MAILPANEL_DOVEADM_URL", "")
    MAILPANEL_DOVEADM_API_KEY = secret("MAILPANEL_DOVEADM_API_KEY")
    # Without it the daemons are the private copy's; with it, this machine's own or those that the probes are told.
    PRIVATE_COPY = not MAILPANEL_DOVEADM_URL
    if PRIVATE_COPY:
        MAILPANEL_DOVEADM_URL = kept(MAILPANEL_VAR / "secrets" / "doveadm_url")
        MAILPANEL_DOVEADM_API_KEY = MAILPANEL_DOVEADM_API_KEY or kept(
            MAILPANEL_VAR / "secrets" / "doveadm_key"
        )

    # The probes: the deadline of each, where the daemons are if not at the usual places, whose certificates are trusted
    # (the private copy's authority, or those of the system), and which lists of senders of junk are asked for us.
    MAILPANEL_PROBE_SECONDS = env.float("MAILPANEL_PROBE_SECONDS", 3, validate=validate.Range(0.5, 30))
    MAILPANEL_PROBE_TARGETS = targets.read(env.dict("MAILPANEL_PROBE_TARGETS", {}))
    MAILPANEL_PROBE_CA = env.str(
        "MAILPANEL_PROBE_CA", str(MAILPANEL_VAR / "tls" / "ca.pem") if PRIVATE_COPY else ""
    )
    MAILPANEL_PROBE_BLOCKLISTS = env.list(
        "MAILPANEL_PROBE_BLOCKLISTS", ["zen.spamhaus.org", "bl.spamcop.net"]
    )
    # The mailbox by which they sign in has its password in this file, unless one is given: the panels of a cluster share one.
    MAILPANEL_PROBE_PASSWORD = secret("MAILPANEL_PROBE_PASSWORD")
    PROBE_PASSWORD_KEPT = MAILPANEL_VAR / "secrets" / "probe_password"

    # Who is told when mail does not work, after so many bad rounds in a row: by mail, through another host if one is given
    # (smtp://user@host:587 or smtps://…), or else this server's own Postfix; and by a POST to an address that is a secret.
    MAILPANEL_ALERT_TO = addresses(env.list("MAILPANEL_ALERT_TO", []))
    MAILPANEL_ALERT_SMTP = mail_host(env.str("MAILPANEL_ALERT_SMTP", ""))
    MAILPANEL_ALERT_SMTP_PASSWORD = secret("MAILPANEL_ALERT_SMTP_PASSWORD")
    MAILPANEL_ALERT_WEBHOOK = webhook(secret("MAILPANEL_ALERT_WEBHOOK"))
    MAILPANEL_ALERT_AFTER = env.int("MAILPANEL_ALERT_AFTER", 3, validate=validate.Range(1, 60))
    # What Prometheus shows at /metrics as its bearer token; without one there is no such page.
    MAILPANEL_METRICS_TOKEN = secret("MAILPANEL_METRICS_TOKEN")

    # Whether the content filter sees mail before it is taken, so that it can still be refused, or once it is in the queue;
    # and how many messages it looks at at once.
    _filter_modes = validate.OneOf(["before-queue", "after-queue"])
    MAILPANEL_FILTER_INCOMING = env.str("MAILPANEL_FILTER_INCOMING", "before-queue", validate=_filter_modes)
    MAILPANEL_FILTER_SUBMITTED = env.str("MAILPANEL_FILTER_SUBMITTED", "after-queue", validate=_filter_modes)
    MAILPANEL_FILTER_PROCESSES = env.int("MAILPANEL_FILTER_PROCESSES", 2, validate=validate.Range(2, 100))

    # The lists by which other servers are refused at port 25, and who is let in whatever they say. On a host that is
    # Spamhaus' by default, which hardly anybody is on by mistake; the private copy asks nobody unless it is told to.
    MAILPANEL_DNSBL = blocklists(
        secret("MAILPANEL_DNSBL", "" if PRIVATE_COPY else "zen.spamhaus.org=127.0.0.[2..11]")
    )
    MAILPANEL_DNSBL_EXCEPT = networks(env.str("MAILPANEL_DNSBL_EXCEPT", ""))
    # Who may bring mail from outside whose sender is an address of ours, such as a service that sends a newsletter.
    MAILPANEL_SENDERS_FROM = networks(env.str("MAILPANEL_SENDERS_FROM", ""))
    # To other servers: TLS where they can (may), or as the domain's signed records say (dane).
    MAILPANEL_OUTBOUND_TLS = env.str(
        "MAILPANEL_OUTBOUND_TLS", "may", validate=validate.OneOf(["may", "dane"])
    )
    # Signs the addresses that stand for the senders of forwarded mail; kept under MAILPANEL_VAR where it is not set.
    MAILPANEL_SRS_SECRET = secret("MAILPANEL_SRS_SECRET")

    # MariaDB alone: the passwords by which the daemons read the database (deploy/mariadb/grants.sql). The private copy
    # makes its own where these are not set.
    MAILPANEL_POSTFIX_DATABASE_PASSWORD = secret("MAILPANEL_POSTFIX_DATABASE_PASSWORD")
    MAILPANEL_DOVECOT_DATABASE_PASSWORD = secret("MAILPANEL_DOVECOT_DATABASE_PASSWORD")
    MAILPANEL_AMAVIS_DATABASE_PASSWORD = secret("MAILPANEL_AMAVIS_DATABASE_PASSWORD")

    MAILPANEL_PASSWORD_SCHEME = env.str(
        "MAILPANEL_PASSWORD_SCHEME",
        "ARGON2ID",
        validate=validate.OneOf(["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT"]),
    )
    MAILPANEL_PASSWORD_MIN_LENGTH = env.int(
        "MAILPANEL_PASSWORD_MIN_LENGTH", 12, validate=validate.Range(8, 64)
    )

    # Wrong passwords before a pause, for one account from one address, and for one address in all.
    MAILPANEL_SIGNIN_TRIES = env.int("MAILPANEL_SIGNIN_TRIES", 10, validate=validate.Range(3, 100))
    MAILPANEL_SIGNIN_TRIES_PER_ADDRESS = env.int(
        "MAILPANEL_SIGNIN_TRIES_PER_ADDRESS", 50, validate=validate.Range(3, 10000)
    )
    MAILPANEL_SIGNIN_PAUSE_MINUTES = env.int(
        "MAILPANEL_SIGNIN_PAUSE_MINUTES", 15, validate=validate.Range(1, 1440)
    )
    # A session ends this long after the last request, and this long after the sign-in whatever happens.
    MAILPANEL_SESSION_IDLE_MINUTES = env.int(
        "MAILPANEL_SESSION_IDLE_MINUTES", 120, validate=validate.Range(1, 10080)
    )
    MAILPANEL_SESSION_HOURS = env.int("MAILPANEL_SESSION_HOURS", 24, validate=validate.Range(1, 720))
    MAILPANEL_STAFF_SESSION_IDLE_MINUTES = env.int(
        "MAILPANEL_STAFF_SESSION_IDLE_MINUTES", 30, validate=validate.Range(1, 10080)
    )
    MAILPANEL_STAFF_SESSION_HOURS = env.int(
        "MAILPANEL_STAFF_SESSION_HOURS", 10, validate=validate.Range(1, 720)
    )

    # Who must have a second factor to use the panel, and how long a device may be remembered after one (0: never).
    MAILPANEL_SECOND_FACTOR = env.str(
        "MAILPANEL_SECOND_FACTOR", "optional", validate=validate.OneOf(["optional", "staff", "everyone"])
    )
    MAILPANEL_SECOND_FACTOR_DEVICE_DAYS = env.int(
        "MAILPANEL_SECOND_FACTOR_DEVICE_DAYS", 30, validate=validate.Range(0, 365)
    )

    # To how many recipients a mailbox may send that has no limit of its own, nor its domain; 0 or empty is unlimited.
    MAILPANEL_SEND_PER_HOUR = limit(env.str("MAILPANEL_SEND_PER_HOUR", "200"))
    MAILPANEL_SEND_PER_DAY = limit(env.str("MAILPANEL_SEND_PER_DAY", "1000"))

    # The mail log that is followed, and how long and how many messages are kept of it. Without a setting it is the files of
    # the private copy, or the system's.
    MAILPANEL_MAIL_LOG = env.list(
        "MAILPANEL_MAIL_LOG",
        [str(MAILPANEL_VAR / "log" / f"{name}.log") for name in ("postfix", "amavis", "dovecot")]
        if PRIVATE_COPY
        else ["/var/log/mail.log"],
    )
    MAILPANEL_TRACE_DAYS = env.int("MAILPANEL_TRACE_DAYS", 30, validate=validate.Range(1, 3650))
    MAILPANEL_TRACE_MESSAGES = env.int(
        "MAILPANEL_TRACE_MESSAGES", 5_000_000, validate=validate.Range(1000, 1_000_000_000)
    )

    # How long Amavis' quarantine is kept.
    MAILPANEL_QUARANTINE_DAYS = env.int("MAILPANEL_QUARANTINE_DAYS", 30, validate=validate.Range(1, 365))
    # How long what was deleted can be brought back.
    MAILPANEL_TRASH_DAYS = env.int("MAILPANEL_TRASH_DAYS", 30, validate=validate.Range(1, 3650))
    MAILPANEL_TIME_ZONE = env.str("MAILPANEL_TIME_ZONE", "UTC")
    DEBUG = env.bool("MAILPANEL_DEBUG", False)
except (EnvError, ValueError) as error:
    raise ImproperlyConfigured(f"A setting in the environment makes no sense: {error}") from error

_host = r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+"
if not re.fullmatch(_host, MAILPANEL_HOSTNAME):
    raise ImproperlyConfigured(
        f"MAILPANEL_HOSTNAME is “{MAILPANEL_HOSTNAME}”; it has the form mail.example.org, in small letters"
    )
if not re.fullmatch(rf"[a-z0-9_.-]{{1,64}}@{_host}", MAILPANEL_POSTMASTER):
    raise ImproperlyConfigured(
        f"MAILPANEL_POSTMASTER is “{MAILPANEL_POSTMASTER}”; it has the form postmaster@example.org, in small letters"
    )

PROBE_ADDRESS = f"mailpanel-probe@{MAILPANEL_POSTMASTER.partition('@')[2]}"

_url = urlsplit(MAILPANEL_URL)
if _url.scheme not in ("http", "https") or not _url.hostname or _url.path:
    raise ImproperlyConfigured(
        f"MAILPANEL_URL is “{MAILPANEL_URL}”; it has the form https://panel.example.org"
    )
_https = _url.scheme == "https"

SECRET_KEY = MAILPANEL_SECRET_KEY or kept_secret_key(MAILPANEL_VAR / "secret_key")

# --- database -----------------------------------------------------------------------------------------------
_database = dj_database_url.parse(MAILPANEL_DATABASE_URL)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["ENGINE"] = "mailpanel.sqlite"
    _database["OPTIONS"] = {"timeout": 10, "transaction_mode": "IMMEDIATE"}
    Path(_database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
elif _database["ENGINE"] == "django.db.backends.mysql":
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"] = {
        **_database.get("OPTIONS", {}),
        "charset": "utf8mb4",
        "connect_timeout": 3,
        "read_timeout": 20,
        "write_timeout": 20,
        "isolation_level": "read committed",
        "init_command": "SET sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
        "innodb_lock_wait_timeout = 4",
    }
else:
    raise ImproperlyConfigured(
        "MAILPANEL_DATABASE_URL begins with sqlite:/// or mysql://; other databases are not supported"
    )
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- the application ----------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "axes",
    "mailpanel",
    "mailpanel.server",
    "domains",
    "accounts",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # of random length, and tokens are masked: nothing to learn from sizes
    "mailpanel.server.monitoring.Monitoring",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.authentication.SessionRulesMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "mailpanel.urls"
WSGI_APPLICATION = "mailpanel.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.access.for_templates",
                "mailpanel.formatting.names",
            ],
            "builtins": ["mailpanel.formatting"],
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = MAILPANEL_VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("es", "Español")]
LANGUAGE_COOKIE_NAME = "mailpanel_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LOCALE_PATHS = [BASE_DIR / "mailpanel" / "locale"]
FORMAT_MODULE_PATH = "mailpanel.formats"
TIME_ZONE = MAILPANEL_TIME_ZONE
USE_TZ = True

# --- sign-in ------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.Mailbox"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "accounts.authentication.MailboxBackend"]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:sign_in"

AXES_HANDLER = "accounts.authentication.Throttle"
AXES_USERNAME_FORM_FIELD = "username"  # without it axes counts nothing, since our USERNAME_FIELD is "email"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = MAILPANEL_SIGNIN_TRIES
AXES_COOLOFF_TIME = MAILPANEL_SIGNIN_PAUSE_MINUTES / 60  # hours
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "accounts.authentication.throttled_address"
AXES_LOCKOUT_CALLABLE = "accounts.views.session.paused"
AXES_DISABLE_ACCESS_LOG = True
# It keeps what was posted with a wrong password, and hides of that only `password` and these.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "current", "new", "code"]
AXES_VERBOSE = False

# --- the wire -----------------------------------------------------------------------------------------------
ALLOWED_HOSTS = [_url.hostname, "localhost", "127.0.0.1", "[::1]"] if not _https else [_url.hostname]
CSRF_TRUSTED_ORIGINS = [MAILPANEL_URL]
SECURE_SSL_REDIRECT = _https
SECURE_REDIRECT_EXEMPT = [r"^(healthz|metrics)$"]  # asked behind the proxy that has the certificate
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if _https and MAILPANEL_TRUSTED_PROXIES else None
)
SECURE_HSTS_SECONDS = 31536000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_NAME = "__Host-session" if _https else "mailpanel_session"
CSRF_COOKIE_NAME = "__Host-csrf" if _https else "mailpanel_csrf"
LANGUAGE_COOKIE_SECURE = _https
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = MAILPANEL_SESSION_HOURS * 3600
CSRF_FAILURE_VIEW = "mailpanel.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "img-src": [SELF],
        "style-src": [SELF],
        "script-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# --- logging ------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "mailpanel.journal.OneLine",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
