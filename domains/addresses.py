"""What an address is: parse, normalise, IDN.

Every writer (page, command, import, sign-in) comes through the four parsers, so that one spelling of an address exists
in the database: lower-case ASCII, the domain as A-labels. They return that spelling or raise ValidationError with a
sentence and a code. An accepted address is one that Postfix routes, Dovecot signs in and a map file cannot misread;
RFC 5321 allows more than that.

Nothing is ever dropped or decoded to make an address fit, apart from ASCII blanks at its ends: what somebody sees and
what is stored must not differ by an invisible character.
"""

import re
import unicodedata

import idna
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# RFC 5321 section 4.5.3.1 (with erratum 1690 of RFC 3696 for the whole) and RFC 1035, in octets.
LOCAL_MAX = 64
ADDRESS_MAX = 254
DOMAIN_MAX = 253
LABEL_MAX = 63

# Character classes, as they stand between the brackets of a regular expression or of SQLite's GLOB. The CHECK
# constraints of the tables hold the same ones.
# “-” first is an option for a program (Postfix: allow_min_user = no), “.” first a hidden file.
LOCAL_FIRST = "a-z0-9_"
# What Dovecot's auth_username_chars lets in by default and Postfix neither rewrites (% !) nor takes as delimiter (+).
LOCAL_CHARACTERS = "a-z0-9._-"
# A destination elsewhere need not sign in here. “+” and “=” stand in tagged, VERP and SRS addresses, “'” and “&” in
# those of people and companies. All four are plain RFC 5322 atoms to Postfix, which quotes them for SQL when it looks
# the result up again. Left out: , ; : < > ( ) " and blank (a second recipient), | / (a command, a file), % ! (a
# route), * ? # { } $ ` ~ ^ (something to a map, a shell or a template).
DESTINATION_CHARACTERS = "a-z0-9._+=&'-"
DOMAIN_CHARACTERS = "a-z0-9.-"

# A Unicode form is shorter than its A-labels, unless typed decomposed: then up to four code points make one letter.
_TYPED_MAX = 4 * ADDRESS_MAX

# UTS 39, “highly restrictive”: one script, or Latin with the scripts of one of these languages.
_SCRIPTS_TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)
# Python knows no script property. The first word of a character's name is the script for all letters that IDNA
# allows in living scripts, apart from these.
_SCRIPT_OF_WORD = {"CJK": "HAN", "IDEOGRAPHIC": "HAN", "VIETNAMESE": "HAN", "HENTAIGANA": "HIRAGANA"}
_SCRIPTLESS_WORDS = {"COMBINING", "MODIFIER", "VEDIC", "DIGIT", "HYPHEN", "MIDDLE"}  # “col·lecció”


def parse_domain(text: str) -> str:
    """The domain as lower-case A-labels: “Bücher.example” gives “xn--bcher-kva.example”."""
    text = _trimmed(text)
    if "@" in text:
        raise _refusal("at", _("This is to be a domain alone, such as example.org, without “@”."))
    return _domain(text)


def parse_mailbox(text: str) -> str:
    local, domain = _halves(_trimmed(text))
    if "+" in local:
        raise _refusal(
            "plus",
            _(
                "“+” belongs to delivery: mail to anna+shop@… reaches anna@… by itself. Leave out “+” and what follows."
            ),
        )
    return _address(_local(local, LOCAL_CHARACTERS), domain)


def parse_alias_source(text: str) -> str:
    """An address that leads to others, or “@example.org”, the one form of a domain's catch-all."""
    text = _trimmed(text)
    if text.startswith("@") and text.count("@") == 1:
        return "@" + _domain(text[1:])
    if text.startswith(("*@", "%@")):
        raise _refusal(
            "catch_all", _("A catch-all is written with nothing before the @, such as @example.org.")
        )
    return parse_mailbox(text)


def parse_destination(text: str) -> str:
    """One bare address, here or elsewhere. It keeps a tag: another server may file by it."""
    text = _trimmed(text)
    if "<" in text or ">" in text:
        raise _refusal("display_name", _("Only the bare address, without a name and without < >."))
    if text.startswith("@"):
        raise _refusal(
            "whole_domain",
            _("A destination is one address. To share all addresses of a domain, make a mirror."),
        )
    local, domain = _halves(text)
    return _address(_local(local, DESTINATION_CHARACTERS), domain)


def split(address: str) -> tuple[str, str]:
    """(local part, domain) of a parsed address; the local part of a catch-all is empty."""
    local, _at, domain = address.rpartition("@")
    return local, domain


def to_unicode(text: str) -> str:
    """The address or domain as people write it, for display only.

    A label that mixes scripts or does not decode stays as it is stored, so that nothing can pass for another name.
    """
    local, at, domain = text.rpartition("@")
    return local + at + ".".join(_shown_label(label) for label in domain.split("."))


def _refusal(code: str, sentence: str, **params: str) -> ValidationError:
    return ValidationError(sentence, code=code, params=params or None)


def _trimmed(text: str) -> str:
    text = text.strip(" ")
    if not text:
        raise _refusal("empty", _("Nothing is typed here."))
    if len(text) > _TYPED_MAX:
        raise _too_long()
    for character in text:
        # before any mapping: UTS 46 and NFC would drop or change some of these without a word
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise _refusal(
                "invisible",
                _(
                    "There is an invisible or control character in it (%(number)s). Type it anew, do not paste it."
                ),
                number=_number(character),
            )
    return text


def _number(character: str) -> str:
    return f"U+{ord(character):04X}"


def _too_long() -> ValidationError:
    return _refusal("too_long", _("An address has at most %(most)s characters."), most=str(ADDRESS_MAX))


def _halves(text: str) -> tuple[str, str]:
    if (text.count("@") > 1 and re.search("[,; ]", text)) or text.endswith(";"):
        raise _refusal("several", _("These are several addresses where one belongs."))
    if text.count("@") > 1:
        raise _refusal("many_at", _("There is more than one “@” in it."))
    local, at, domain = text.partition("@")
    if not at:
        raise _refusal("no_at", _("An address has a name, an “@” and a domain, such as anna@example.org."))
    return local, domain


def _local(local: str, characters: str) -> str:
    if not local:
        raise _refusal("local_empty", _("There is nothing before the “@”."))
    if not local.isascii():  # before lower(), which turns a Kelvin sign into k
        wrong = re.search(r"[^\x00-\x7f]", local)[0]
        raise _refusal(
            "local_unicode",
            _(
                "“%(wrong)s” (%(number)s) cannot stand before the “@”: many servers could not deliver. Use a to z."
            ),
            wrong=wrong,
            number=_number(wrong),
        )
    local = local.lower()
    wrong = re.search(f"[^{characters}]", local)
    if wrong:
        raise _wrong_local_character(wrong[0], characters)
    if len(local) > LOCAL_MAX:
        raise _refusal(
            "local_too_long", _("At most %(most)s characters stand before the “@”."), most=str(LOCAL_MAX)
        )
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _refusal("local_dots", _("Before the “@”, a dot stands alone and between other characters."))
    if not re.match(f"[{LOCAL_FIRST}]", local):
        raise _refusal(
            "local_first",
            _("An address begins with a letter, a digit or “_”, not with “%(wrong)s”."),
            wrong=local[0],
        )
    return local


def _wrong_local_character(wrong: str, characters: str) -> ValidationError:
    if wrong == " ":
        return _refusal("blank", _("There is a blank in the address."))
    if characters == DESTINATION_CHARACTERS:
        sentence = _("“%(wrong)s” cannot stand before the “@”; letters a to z, digits and . _ - + = ' & can.")
    else:
        sentence = _("“%(wrong)s” cannot stand before the “@”; letters a to z, digits and . _ - can.")
    return _refusal("local_character", sentence, wrong=wrong)


def _address(local: str, typed_domain: str) -> str:
    address = f"{local}@{_domain(typed_domain)}"
    if len(address) > ADDRESS_MAX:
        raise _too_long()
    return address


def _domain(text: str) -> str:
    if not text:
        raise _refusal("domain_empty", _("There is no domain after the “@”."))
    if text.startswith("["):
        raise _refusal(
            "literal",
            _("A numeric address in brackets is not a mail domain; use its name, such as example.org."),
        )
    labels = _labels(_mapped(text))
    names = [_a_label(label) for label in labels]
    domain = ".".join(names)
    if len(domain) > DOMAIN_MAX:
        raise _refusal(
            "domain_too_long", _("A domain has at most %(most)s characters."), most=str(DOMAIN_MAX)
        )
    if names[-1].isdigit():
        raise _refusal(
            "numeric",
            _("The last part of a domain is never a number; a numeric address is not a mail domain."),
        )
    mixed = [label for label in labels if not label.isascii() and _mixes_scripts(label)]
    if mixed:
        raise _refusal(
            "mixed_scripts",
            _(
                "“%(label)s” mixes the letters of several scripts (%(scripts)s), so that it can pass for another name. "
                "Its technical form is %(domain)s: type that if you mean it."
            ),
            label=mixed[0],
            scripts=", ".join(sorted(script.capitalize() for script in _scripts(mixed[0]))),
            domain=domain,
        )
    return domain


def _mapped(text: str) -> str:
    """UTS 46: case, width and composition folded, “。” made a dot. Our own checks follow std3_rules=True."""
    try:
        for character in text:
            if not character.isascii() and not idna.uts46_remap(character, std3_rules=False):
                raise _refusal(
                    "invisible",
                    _("There is an invisible character in it (%(number)s). Type it anew, do not paste it."),
                    number=_number(character),
                )
        mapped = idna.uts46_remap(text, std3_rules=False)
    except idna.IDNAError as error:
        raise _not_a_name(error) from error
    wrong = re.search(rf"(?![{DOMAIN_CHARACTERS}])[\x00-\x7f]", mapped)
    if wrong:
        raise _wrong_domain_character(wrong[0])
    return mapped


def _wrong_domain_character(wrong: str) -> ValidationError:
    if wrong == " ":
        return _refusal("blank", _("There is a blank in the domain."))
    return _refusal(
        "domain_character",
        _("“%(wrong)s” cannot stand in a domain; letters, digits, hyphens and dots can."),
        wrong=wrong,
    )


def _labels(mapped: str) -> list[str]:
    if mapped.endswith(".") and mapped.strip("."):
        raise _refusal(
            "trailing_dot", _("Leave out the dot at the end: %(domain)s"), domain=mapped.rstrip(".")
        )
    labels = mapped.split(".")
    if "" in labels:
        raise _refusal("domain_dots", _("A dot in a domain stands alone and between other characters."))
    if len(labels) == 1:
        raise _refusal("one_label", _("A mail domain has at least two parts, such as example.org."))
    for label in labels:
        if label.isascii() and len(label) > LABEL_MAX:
            raise _refusal(
                "label_too_long",
                _("A part of a domain has at most %(most)s characters."),
                most=str(LABEL_MAX),
            )
        if label.startswith("-") or label.endswith("-"):
            raise _refusal(
                "hyphen",
                _("“%(label)s” begins or ends with a hyphen; no part of a domain does."),
                label=label,
            )
    return labels


def _a_label(label: str) -> str:
    try:
        name = idna.alabel(label).decode("ascii")
        if idna.alabel(idna.ulabel(name)).decode("ascii") != name:
            raise idna.IDNAError("Not the canonical form of its Unicode label")
    except idna.IDNAError as error:
        raise _not_a_name(error) from error
    return name


def _not_a_name(error: idna.IDNAError) -> ValidationError:
    return _refusal(
        "idna", _("This is not an internationalised domain name (IDNA 2008: %(reason)s)."), reason=str(error)
    )


def _scripts(label: str) -> set[str]:
    """Of the label's letters; digits, hyphens and marks that go with every script count for none."""
    scripts = set()
    for character in label:
        word = re.match("(?:EXTENDED )?([A-Z]*)", unicodedata.name(character, ""))[1]
        if word not in _SCRIPTLESS_WORDS:
            scripts.add(_SCRIPT_OF_WORD.get(word, word or "UNKNOWN"))
    return scripts


def _mixes_scripts(label: str) -> bool:
    scripts = _scripts(label)
    return len(scripts) > 1 and not any(scripts <= together for together in _SCRIPTS_TOGETHER)


def _shown_label(label: str) -> str:
    if not label.startswith("xn--") or len(label) > LABEL_MAX:
        return label
    try:
        shown = idna.ulabel(label)
    except UnicodeError:
        return label
    return label if _mixes_scripts(shown) else shown
