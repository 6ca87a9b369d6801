"""The schemes that Dovecot and we both read; the password policy.

A stored password is one column, “{SCHEME}hash”. Dovecot 2.3 reads more than we do, and the two must agree on who may
sign in, so Dovecot's passdb query takes only rows of the forms below. In the SQL of both databases:

    UPPER(SUBSTR(password, 1, INSTR(password, '}'))) IN
        ('{ARGON2ID}', '{MD5-CRYPT}', '{SSHA}', '{SSHA256}', '{SSHA512}', '{SHA512}', '{PLAIN-MD5}')
    OR (UPPER(SUBSTR(password, 1, INSTR(password, '}'))) IN
        ('{CRYPT}', '{BLF-CRYPT}', '{SHA256-CRYPT}', '{SHA512-CRYPT}')
        AND (SUBSTR(password, INSTR(password, '}') + 1, 3) IN ('$1$', '$2a', '$2b', '$2y', '$5$', '$6$')
            OR LENGTH(password) = INSTR(password, '}') + 13))

* The name of the scheme may be in lower case: Dovecot does not mind. Its suffixes .HEX, .B64 and .BASE64 are refused;
  SHA512 and PLAIN-MD5 are read as hex or base64 without one, by their length, as Dovecot does.
* CRYPT, SHA256-CRYPT and SHA512-CRYPT all mean “whatever crypt(3) reads” to Dovecot. We read $1$, $2a$ $2b$ $2y$, $5$,
  $6$ and the 13 characters of traditional DES. The other ones of Debian's libcrypt ($y$ yescrypt, $gy$, $7$, $sha1$,
  $md5$, $3$, $2x$, _) are refused: no library here reads all of them. Nobody signs in by such a row until it gets a
  new password.
* Everything else, above all PLAIN, CLEAR and rows without a scheme, is refused. An empty {PLAIN} would let everybody in.

What SQL cannot see is refused here alone: parameters beyond the bounds below. `is_readable` tells for any row.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, partial
from math import ceil

import bcrypt
from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret, verify_secret
from django.conf import settings
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from passlib.hash import des_crypt, md5_crypt, sha256_crypt, sha512_crypt

from domains import addresses

SCHEMES = (
    "ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT",  # written, by MAILPANEL_PASSWORD_SCHEME
    "SHA256-CRYPT", "MD5-CRYPT", "SSHA", "SSHA256", "SSHA512", "SHA512", "CRYPT", "PLAIN-MD5",
)  # fmt: skip
UNUSABLE = "{CRYPT}!"

# Characters after normalisation, so at most 1,024 bytes. RFC 4616 has every server take 255 bytes. Tried with an
# address of 254: Dovecot takes this many of any kind by IMAP, POP3 and ManageSieve, and so does Postfix by AUTH LOGIN
# and PLAIN, where a client that sends the address twice meets the 2,048 bytes of a line above three bytes a character.
MAX_LENGTH = 256

# What we write. OWASP's first choice for Argon2id; bcrypt and SHA-512 at a cost of about a tenth of a second.
ARGON2_MEMORY, ARGON2_TIME = 19456, 2  # KiB, passes; one lane
BCRYPT_COST = 11
SHA512_ROUNDS = 100_000
BCRYPT_BYTES = 72  # bcrypt reads no further
CRYPT_BYTES = 511  # Debian's crypt(3) fails above
MOST_BYTES = {"ARGON2ID": 4 * MAX_LENGTH, "BLF-CRYPT": BCRYPT_BYTES, "SHA512-CRYPT": CRYPT_BYTES}
# What we read: a row from elsewhere costs about a second at most.
ARGON2_MOST = {"memory": 256 * 1024, "time": 10, "lanes": 8}
BCRYPT_COST_MOST = 14
SHA_ROUNDS_MOST = 1_000_000

_STORED = re.compile(r"\{([A-Za-z0-9-]+)\}(.+)", re.DOTALL)
_ARGON2 = re.compile(
    r"\$argon2(?P<kind>id|i)\$v=19\$m=(?P<memory>[1-9][0-9]{0,6}),t=(?P<time>[1-9][0-9]?),p=(?P<lanes>[1-9])"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,171}"
)
# The last character of the salt holds two bits; Dovecot compares whole texts, so only their plain spelling matches.
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_SHA_CRYPT = re.compile(
    r"\$(?P<kind>[56])\$(?:rounds=(?P<rounds>[1-9][0-9]{3,6})\$)?[./0-9A-Za-z]{0,16}\$(?P<hash>[./0-9A-Za-z]+)"
)
_MD5_CRYPT = re.compile(r"\$1\$[./0-9A-Za-z]{0,8}\$[./0-9A-Za-z]{22}")
_DES_CRYPT = re.compile(r"[./0-9A-Za-z]{13}")

Comparison = Callable[[bytes], bool]


def normalise(password: str) -> str:
    """NFC (RFC 8265): “ä” is one password, however a keyboard composes it. Mail programs are to send NFC as well."""
    return unicodedata.normalize("NFC", password)


def make_hash(password: str) -> str:
    """“{SCHEME}hash” by MAILPANEL_PASSWORD_SCHEME. ValidationError for what no hash can hold; the policy is `validate`."""
    scheme, secret = settings.MAILPANEL_PASSWORD_SCHEME, _secret(password)
    if len(secret) > MOST_BYTES[scheme]:
        raise _too_many_bytes(scheme, len(secret))
    return _WRITERS[scheme](secret)


def verify(password: str, stored: str) -> bool:
    """Whether this password was stored. False, never an exception, for anything else in either of them."""
    compare = _comparison(stored)
    if compare is None or not isinstance(password, str):
        return False
    try:
        return compare(_secret(password))
    except ValidationError:
        return False


def is_readable(stored: str) -> bool:
    """Whether some password can match: the row is of a form and within the bounds that this module reads."""
    return _comparison(stored) is not None


def needs_renewal(stored: str) -> bool:
    """Whether a row that has just been verified is worth writing anew: another scheme than the setting's, or weaker."""
    wanted = settings.MAILPANEL_PASSWORD_SCHEME
    beginning, pattern, least = _GOOD_ENOUGH[wanted]
    scheme, _brace, text = stored.removeprefix("{").partition("}")
    form = pattern.fullmatch(text)
    if scheme.upper() != wanted or not form or not text.startswith(beginning):
        return True
    return any(int(form[name] or 0) < value for name, value in least.items())


def spend(password: str) -> None:
    """Cost what verify() costs for a password of the default scheme.

    For unknown accounts, and after a failure with a row that needs renewal (its scheme may be a thousand times
    quicker), so that the time of an answer does not tell which accounts exist.
    """
    verify(password, _DECOYS[settings.MAILPANEL_PASSWORD_SCHEME])


def validate(password: str, *, address: str = "", name: str = "") -> None:
    """The policy, after NIST SP 800-63B: long, not blank, not well known, not the own name; no classes of characters.

    Raises ValidationError with all the reasons at once.
    """
    if len(password) > 4 * MAX_LENGTH:  # even if decomposed; normalising an endless text is slow
        raise _too_long()
    reasons = list(_reasons(normalise(password), address, name))
    if reasons:
        raise ValidationError(reasons)


def strength(password: str, *, words: Iterable[str] = ()) -> int:
    """0 (guessed at once) to 4, by zxcvbn, from as much of the beginning as it weighs in a twentieth of a second."""
    beginning = _weighable(normalise(password[:72]))
    if not beginning:
        return 0
    from zxcvbn import zxcvbn  # here, for its lists take 12 MB, and most processes never ask

    with _zxcvbn_lock:
        return zxcvbn(beginning, user_inputs=[*words, _PRODUCT])["score"]


def generate() -> str:
    """A password of at least 128 random bits for a person to type, such as “k7mq-xw3e-…”; it meets the policy."""
    return _grouped(max(7, ceil((settings.MAILPANEL_PASSWORD_MIN_LENGTH + 1) / 5)))


def new_app_password() -> tuple[str, str, str]:
    """(selector, typed, stored): Dovecot finds the row by the selector, all before the first hyphen of what is typed.

    One fast salted hash of the whole of it is enough: nobody guesses 128 random bits.
    """
    selector = _letters(8)
    typed = f"{selector}-{_grouped(7)}"
    salt = secrets.token_bytes(16)
    digest = hashlib.sha256(typed.encode() + salt).digest()
    return selector, typed, "{SSHA256}" + base64.b64encode(digest + salt).decode()


# --- writing ------------------------------------------------------------------------------------------------


def _secret(password: str) -> bytes:
    if len(password) > 4 * MAX_LENGTH:
        raise _too_long()
    password = normalise(password)
    if not password:
        raise ValidationError(_("A password is missing."), code="empty")
    if len(password) > MAX_LENGTH:
        raise _too_long()
    if "\0" in password:
        raise _control()
    try:
        return password.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, from JSON
        raise _control() from error


def _too_long() -> ValidationError:
    return ValidationError(
        _("A password has at most %(most)s characters."), code="too_long", params={"most": MAX_LENGTH}
    )


def _control() -> ValidationError:
    return ValidationError(
        _("Tabs, line ends and other control characters cannot stand in a password."), code="control"
    )


def _too_many_bytes(scheme: str, length: int) -> ValidationError:
    return ValidationError(
        _(
            "This password has %(length)s bytes; the server's scheme (%(scheme)s) reads %(most)s. "
            "Shorten it: letters beyond a to z take two bytes or more."
        ),
        code="too_many_bytes",
        params={"length": length, "scheme": scheme, "most": MOST_BYTES[scheme]},
    )


def _write_argon2(secret: bytes) -> str:
    text = hash_secret(secret, secrets.token_bytes(16), ARGON2_TIME, ARGON2_MEMORY, 1, 32, Type.ID)
    return "{ARGON2ID}" + text.decode()


def _write_bcrypt(secret: bytes) -> str:
    text = bcrypt.hashpw(secret, bcrypt.gensalt(BCRYPT_COST)).decode()
    return "{BLF-CRYPT}" + text.replace("$2b$", "$2y$", 1)  # one algorithm; every crypt(3) knows the latter


def _write_sha512(secret: bytes) -> str:
    return "{SHA512-CRYPT}" + sha512_crypt.using(rounds=SHA512_ROUNDS).hash(secret)


_WRITERS = {"ARGON2ID": _write_argon2, "BLF-CRYPT": _write_bcrypt, "SHA512-CRYPT": _write_sha512}
# Well-formed hashes that no known password has.
_DECOYS = {
    "ARGON2ID": f"{{ARGON2ID}}$argon2id$v=19$m={ARGON2_MEMORY},t={ARGON2_TIME},p=1${'A' * 22}${'A' * 43}",
    "BLF-CRYPT": f"{{BLF-CRYPT}}$2y${BCRYPT_COST}${'.' * 53}",
    "SHA512-CRYPT": f"{{SHA512-CRYPT}}$6$rounds={SHA512_ROUNDS}${'.' * 16}${'.' * 86}",
}


# --- reading ------------------------------------------------------------------------------------------------


def _comparison(stored: str) -> Comparison | None:
    """What compares a secret with this row; None if we do not read it."""
    parts = _STORED.fullmatch(stored) if isinstance(stored, str) else None
    family = parts and _FAMILIES.get(parts[1].upper())
    return family(parts[2]) if family else None


def _argon2(text: str) -> Comparison | None:
    form = _ARGON2.fullmatch(text)
    if not form or any(int(form[name]) > most for name, most in ARGON2_MOST.items()):
        return None
    return partial(_argon2_matches, text, Type.ID if form["kind"] == "id" else Type.I)


def _argon2_matches(text: str, kind: Type, secret: bytes) -> bool:
    try:
        return verify_secret(text.encode(), secret, kind)
    except Argon2Error:
        return False


def _bcrypt(text: str) -> Comparison | None:
    form = _BCRYPT.fullmatch(text)
    if not form or not 4 <= int(form["cost"]) <= BCRYPT_COST_MOST:
        return None
    # cut as crypt(3) does: rows that others wrote have to mean the same to Dovecot and to us
    return lambda secret: bcrypt.checkpw(secret[:BCRYPT_BYTES], text.encode())


def _sha_crypt(text: str) -> Comparison | None:
    form = _SHA_CRYPT.fullmatch(text)
    if not form or int(form["rounds"] or 0) > SHA_ROUNDS_MOST:
        return None
    scheme, length = (sha512_crypt, 86) if form["kind"] == "6" else (sha256_crypt, 43)
    return partial(scheme.verify, hash=text) if len(form["hash"]) == length else None


def _md5_crypt(text: str) -> Comparison | None:
    return partial(md5_crypt.verify, hash=text) if _MD5_CRYPT.fullmatch(text) else None


def _des_crypt(text: str) -> Comparison | None:
    return partial(des_crypt.verify, hash=text) if _DES_CRYPT.fullmatch(text) else None


def _crypt(text: str) -> Comparison | None:
    compare = _sha_crypt(text) or _md5_crypt(text) or _des_crypt(text)
    return _bcrypt(text) or (compare and (lambda secret: len(secret) <= CRYPT_BYTES and compare(secret)))


def _digest(algorithm: str, salted: bool, text: str) -> Comparison | None:
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    is_hex = not salted and re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", text)
    raw = bytes.fromhex(text) if is_hex else _base64(text)
    fits = len(raw) > size if salted else len(raw) == size
    return partial(_digest_matches, algorithm, raw[:size], raw[size:]) if fits else None


def _digest_matches(algorithm: str, digest: bytes, salt: bytes, secret: bytes) -> bool:
    return hmac.compare_digest(hashlib.new(algorithm, secret + salt, usedforsecurity=False).digest(), digest)


def _base64(text: str) -> bytes:
    """Decoded as Dovecot does: white space is nothing, padding is needed. Empty if it is not base64."""
    try:
        return base64.b64decode(re.sub(r"[ \t\r\n]", "", text), validate=True)
    except ValueError:
        return b""


_FAMILIES = {
    "ARGON2ID": _argon2,
    "BLF-CRYPT": _bcrypt,
    "SHA512-CRYPT": _crypt,
    "SHA256-CRYPT": _crypt,
    "CRYPT": _crypt,
    "MD5-CRYPT": _md5_crypt,
    "SSHA": partial(_digest, "sha1", True),
    "SSHA256": partial(_digest, "sha256", True),
    "SSHA512": partial(_digest, "sha512", True),
    "SHA512": partial(_digest, "sha512", False),
    "PLAIN-MD5": partial(_digest, "md5", False),
}

# By setting: how a hash begins, and the least of its parameters.
_GOOD_ENOUGH = {
    "ARGON2ID": ("$argon2id$", _ARGON2, {"memory": ARGON2_MEMORY, "time": ARGON2_TIME}),
    "BLF-CRYPT": ("$2", _BCRYPT, {"cost": BCRYPT_COST}),
    "SHA512-CRYPT": ("$6$", _SHA_CRYPT, {"rounds": SHA512_ROUNDS}),
}


# --- the policy ---------------------------------------------------------------------------------------------

_PRODUCT = "mailpanel"
_LEFT_OVER = 8  # characters that must remain once the own names are taken out
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and a pattern to Unicode, nothing to the eye
_zxcvbn_lock = threading.Lock()  # it keeps the words of a call in a table of the module
_LIKE_LETTERS = frozenset("4@8({[<3691!|70$5+%2")  # what zxcvbn takes for letters: “p4$$w0rd”


def _reasons(password: str, address: str, name: str) -> Iterable[ValidationError]:
    least = settings.MAILPANEL_PASSWORD_MIN_LENGTH
    if len(password) < least:
        yield ValidationError(
            _("%(length)s characters are too few; it takes at least %(least)s. A short sentence does well."),
            code="too_short",
            params={"length": len(password), "least": least},
        )
    scheme, length = settings.MAILPANEL_PASSWORD_SCHEME, len(password.encode(errors="replace"))
    if len(password) > MAX_LENGTH:
        yield _too_long()
    elif length > MOST_BYTES[scheme]:
        yield _too_many_bytes(scheme, length)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        yield _control()
    if password and all(_is_blank(character) for character in password):
        yield ValidationError(_("Blanks alone are no password."), code="blank")
    folded = password.casefold()
    rest = _without(_own_words(address, name), folded)
    if rest != folded and len(rest) < _LEFT_OVER:
        yield ValidationError(
            _("This is little more than the address, the name, or the name of this panel."), code="own_words"
        )
    elif {folded.strip(), rest.strip()} & _common_passwords():
        yield ValidationError(_("This is one of the passwords that are tried first."), code="common")


def _weighable(password: str) -> str:
    """zxcvbn's time grows with the square of the length, and doubles with each character that is like a letter."""
    seen = set()
    for place, character in enumerate(password[:72]):
        seen |= _LIKE_LETTERS & {character}
        if len(seen) > 10:
            return password[:place]
    return password[:72]


def _is_blank(character: str) -> bool:
    return unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cf", "Cc") or character in _BLANKS


def _own_words(address: str, name: str) -> list[str]:
    """What stands in the address and the name, whole and in parts, the longest first."""
    local, domain = addresses.split(address)
    whole = [address, local, domain, addresses.to_unicode(domain), name, _PRODUCT]
    parts = [part for text in whole for part in re.split(r"[\W_]+", text)]
    words = {normalise(word).casefold() for word in whole + parts}
    return sorted((word for word in words if len(word) >= 3), key=len, reverse=True)


def _without(words: list[str], text: str) -> str:
    for word in words:
        text = text.replace(word, "")
    return text


@cache
def _common_passwords() -> set[str]:
    return CommonPasswordValidator().passwords


# --- random texts -------------------------------------------------------------------------------------------

_UNAMBIGUOUS = "abcdefghjkmnpqrstuvwxyz23456789"  # without i l o 0 1: 31 characters, 4.95 bits each


def _letters(count: int) -> str:
    return "".join(secrets.choice(_UNAMBIGUOUS) for _place in range(count))


def _grouped(groups: int) -> str:
    """Groups of four, 19.8 bits each: seven of them are 138 bits."""
    return "-".join(_letters(4) for _group in range(groups))
