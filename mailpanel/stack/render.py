"""The daemons' configuration: the templates in deploy/ and a table of values, to files.

A template is a file in its daemon's own syntax with placeholders `@{name}`, and lines `@include FILE` that stand for
another file of the same directory. A line with a value that is a tuple is written once for each member, and not at all
for none. A missing value stops the rendering before anything is written, and so does a value
that could end a line, a string or a word of any of these syntaxes: what people or databases say cannot add a setting.
"""

import os
import re
import shutil
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
ENGINES = ("sqlite", "mariadb")

# No blank, quote, backslash, control character, nor any of $ # % < > ( ) { } ; & | * ? ! that one of Postfix, SQL,
# Dovecot and clamd would interpret.
_VALUE = re.compile(r"[A-Za-z0-9/\[._][A-Za-z0-9/\[\]._:@+=,~-]*", re.ASCII)
_INCLUDE = re.compile(r"@include (\S+)\n?")

# Where a file carries credentials: who may read it beside root. All others are for everybody to read.
_SECRET = {
    "postfix/sql/": ("postfix", 0o640),
    "dovecot/sql/": ("dovecot", 0o640),
    "dovecot/doveadm.conf": ("dovecot", 0o640),
    "amavis/sql/": ("amavis", 0o640),
    "mariadb/": ("root", 0o600),
    "postsrsd/secret": ("root", 0o600),
}


class RenderError(Exception):
    """A sentence that names the file, the line and the placeholder."""


class Template(string.Template):
    """`@{name}`; a bare @, as addresses have it, is nothing special."""

    flags = 0  # not its default, which takes @{Name} for @{name}
    pattern = r"@\{(?:(?P<braced>[a-z0-9_]+)\}|(?P<invalid>))|(?P<named>(?!))|(?P<escaped>(?!))"


@dataclass(frozen=True)
class File:
    """One file of the result: its path below the target directory, and the templates that follow each other in it."""

    path: str
    templates: tuple[Path, ...]

    @property
    def group_and_mode(self) -> tuple[str, int]:
        return next((rule for start, rule in _SECRET.items() if self.path.startswith(start)), ("root", 0o644))


def files(engine: str, dovecot: str, *, private: bool) -> list[File]:
    """What there is to render for `engine`, the directory `dovecot` below deploy/dovecot, and a private copy or not."""
    postfix, dovecot_dir, amavis = DEPLOY / "postfix", DEPLOY / "dovecot" / dovecot, DEPLOY / "amavis"
    more = ("private.cf", "closed.cf") if private else ("outside.cf",)
    found = [
        File("postfix/main.cf", tuple(postfix / name for name in ("main.cf", *more))),
        File(
            "amavis/amavisd.conf",
            tuple(amavis / f"{name}.conf" for name in ("amavisd", *["private"] * private)),
        ),
    ]
    found += [
        File(name, (DEPLOY / name,))
        for name in (
            "postfix/master.cf", "postfix/bounce.cf", "postfix/srs_addresses", "postfix/dnsbl_except.cidr",
            "postfix/senders_from.cidr", "postfix/rbl_replies",
            "postsrsd/postsrsd", "postsrsd/secret", "clamav/clamd.conf", "amavis/dkim.conf", "spamassassin/local.cf",
        )
    ]  # fmt: skip
    for directory, below, pattern in (
        (postfix / "sql" / engine, "postfix/sql", "*.cf"),
        (dovecot_dir, "dovecot", "*.conf"),
        (dovecot_dir / "sql" / engine, "dovecot/sql", "*.conf"),
        (amavis / "sql" / engine, "amavis/sql", "*"),
        (DEPLOY / "mariadb", "mariadb", "*.sql" if engine == "mariadb" else ""),
        (DEPLOY / "systemd", "systemd", "" if private else "mailpanel-*"),
        (DEPLOY / "systemd" / "amavis.service.d", "systemd/amavis.service.d", "" if private else "*.conf"),
    ):
        found += [File(f"{below}/{path.name}", (path,)) for path in sorted(directory.glob(pattern or "-"))]
    return found


Values = Mapping[str, str | tuple[str, ...]]


def render(file: File, values: Values) -> str:
    return "".join(_filled(path, number, line, values) for path, number, line in _lines(file.templates))


def write(target: Path, wanted: list[File], values: Values) -> None:
    """Render all, write all beside what is there, then put all in place: an error leaves what was there, and be it that
    the disk is full. Raises RenderError."""
    texts = [(file, render(file, values)) for file in wanted]
    beside: dict[Path, Path] = {}
    try:
        for file, text in texts:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            group, mode = file.group_and_mode
            beside[path] = _put_beside(path, text, mode=mode, group=group)
    except OSError as error:
        for new in beside.values():
            new.unlink()
        raise RenderError(
            f"Nothing was changed, since {path} cannot be written: {error.strerror}."
        ) from error
    for path, new in beside.items():
        new.replace(path)


def put(path: Path, text: str | bytes, *, mode: int, user: str = "root", group: str = "root") -> None:
    """Write a file in one step, with its final owner and mode before a byte is in it.

    Owner and group take effect for root alone; for anybody else a secret is the own user's only.
    """
    _put_beside(path, text, mode=mode, user=user, group=group).replace(path)


def _put_beside(path: Path, text: str | bytes, *, mode: int, user: str = "root", group: str = "root") -> Path:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            if os.geteuid() == 0:
                shutil.chown(beside, user, group)
                os.fchmod(handle, mode)
            else:
                os.fchmod(handle, mode if mode & 0o004 else mode & 0o700)
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(handle)  # or the name may outlive a loss of power, and the content not
    except BaseException:
        beside.unlink()
        raise
    return beside


def _lines(templates: tuple[Path, ...]) -> Iterator[tuple[Path, int, str]]:
    """Every line with where it stands; an included file's lines count in their own file."""
    for path in templates:
        for number, line in enumerate(path.read_text().splitlines(keepends=True), start=1):
            if included := _INCLUDE.fullmatch(line):
                yield from _lines((path.with_name(included[1]),))
            else:
                yield path, number, line


def _filled(path: Path, number: int, line: str, values: Values) -> str:
    where = f"{path.relative_to(DEPLOY.parent)}:{number}"
    template = Template(line)
    if not template.is_valid():
        raise RenderError(f"{where}: a placeholder has the form @{{name}}, in small letters.")
    for name in template.get_identifiers():
        value = values.get(name)
        if value is None:
            raise RenderError(f"{where}: there is no value for @{{{name}}}.")
        if isinstance(value, tuple):
            return "".join(_filled(path, number, line, {**values, name: one}) for one in value)
        if not _VALUE.fullmatch(value):
            raise RenderError(
                f"{where}: the value for @{{{name}}} is empty or has a character that no configuration file may get "
                "(a blank, a quote, a line end, or one of $ # % and their like)."
            )
    return template.substitute(values)
