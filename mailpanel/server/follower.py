"""Follows the mail log, as `manage.py collect` does every few seconds: each line once, through rotations, restarts and
outages of the database.

What was read and how far is written in one transaction, and only if nobody else has read on meanwhile. A place in a log
is known by what stands before it rather than by the file's name, so that it is found again in a file that was renamed,
copied, truncated or compressed.
"""

import contextlib
import gzip
import hashlib
import logging
import os
import socket
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from mailpanel.daemons import maillog
from mailpanel.server import ledger
from mailpanel.server.ledger import Ledger
from mailpanel.server.models import Position, Traffic

log = logging.getLogger(__name__)

EVERY = 3  # seconds
PORTION = 128 * 1024  # bytes of each log in one transaction
BEFORE = 512  # bytes that a place is known by
TRIMMING = 30  # seconds
HOURS = timedelta(days=90)
MISSING, UNREADABLE = "missing", "unreadable"
# zlib's and EOFError: a compressed log that is damaged, by a full disk for instance.
_UNREADABLE = (OSError, EOFError, zlib.error)

_AWAY = (OperationalError, InterfaceError)  # the database: what was not written is read again


class ReadByAnother(Exception):
    """Another collector of this host was faster."""


@dataclass(frozen=True)
class Place:
    """In a file: everything before the offset has been read."""

    inode: int = 0
    offset: int = 0
    length: int = 0
    fingerprint: str = ""


def machine() -> str:
    return socket.gethostname().partition(".")[0]


class Follower:
    def __init__(self, paths: list[str] | None = None):
        self.paths = [Path(path) for path in paths or settings.MAILPANEL_MAIL_LOG]
        self.machine = machine()

    def run(self) -> None:
        """For ever. That the database is away is told once."""
        away = False
        while True:
            more = False
            try:
                more, away = self.step(), False
            except (DatabaseError, InterfaceError) as error:
                if not away:
                    log.warning("The mail log waits, since the database did not answer: %s", error)
                away = True
            except Exception:  # a fault of ours must not end it
                log.exception("The mail log could not be read on, next try soon")
            finally:
                connection.close()
            if not more:
                time.sleep(EVERY)

    def step(self) -> bool:
        """One portion of each log; whether there is more at once."""
        read, batch, moved, now = [], [], False, timezone.now()
        for path in self.paths:
            position = self._position(path)
            before = Place(position.inode, position.offset, position.length, position.fingerprint)
            try:
                lines, after = portion(path, before)
            except _UNREADABLE as error:
                self._note(position, MISSING if isinstance(error, FileNotFoundError) else UNREADABLE)
                continue
            moved = moved or after != before
            batch += [found for raw in lines if (found := maillog.parse(raw, now))]
            if after != before or position.error or not position.read:
                read.append((position, after))
            elif now - position.read > timedelta(minutes=1):
                Position.objects.filter(pk=position.pk).update(read=now)
        if (
            len(self.paths) > 1
        ):  # of each daemon one, and each has its own idea of what this machine is called
            batch = [(maillog.of_host(line, self.machine), event) for line, event in batch]
        with contextlib.suppress(ReadByAnother):
            self._write(read, batch, now)
        return moved

    def _position(self, path: Path) -> Position:
        found = Position.objects.filter(host=self.machine, path=str(path)).first()
        if not found:
            Position.objects.bulk_create([Position(host=self.machine, path=str(path))], ignore_conflicts=True)
            found = Position.objects.get(host=self.machine, path=str(path))
        return found

    def _note(self, position: Position, error: str) -> None:
        if position.error != error:
            log.warning("%s is %s, so it is not followed for now", position.path, error)
            Position.objects.filter(pk=position.pk).update(error=error)

    def _write(self, read: list[tuple[Position, Place]], batch, now) -> None:
        if not read:
            return
        with transaction.atomic():
            for position, after in read:
                unread = Position.objects.filter(
                    pk=position.pk, inode=position.inode, offset=position.offset, fingerprint=position.fingerprint
                )  # fmt: skip
                if not unread.update(**vars(after), read=now, error=""):
                    raise ReadByAnother
            try:
                self._take(batch)
            except _AWAY:
                raise
            except Exception:
                log.exception(
                    "A portion of the mail log could not be taken in, so each of its lines is by itself"
                )
                self._take_one_by_one(batch)

    def _take_one_by_one(self, batch) -> None:
        """One line must not keep for ever what comes after it from being read. Where not one of them can be taken in, it is
        no fault of theirs, and they wait."""
        passed_over = []
        for line in sorted(batch, key=lambda one: one[0].at):
            try:
                self._take([line])
            except _AWAY:
                raise
            except Exception as error:
                passed_over.append((line[0].raw, error))
        if len(passed_over) == len(batch):
            raise passed_over[0][1]
        for raw, error in passed_over:
            log.error("Passed over, since it could not be taken in (%s): %s", error, raw)

    @transaction.atomic
    def _take(self, batch) -> None:
        if batch:
            book = Ledger(self.machine)
            book.take(batch)
            book.write()


def trim() -> None:
    """Some each minute, as many as may come in one: what is older, and the hours that no plot shows any more."""
    before, end = timezone.now() - timedelta(days=settings.MAILPANEL_TRACE_DAYS), time.monotonic() + TRIMMING
    while ledger.trim(before, settings.MAILPANEL_TRACE_MESSAGES) and time.monotonic() < end:
        pass
    hour = int((timezone.now() - HOURS).timestamp()) // 3600
    Traffic.objects.filter(hour__lt=hour).delete()


# --- files ----------------------------------------------------------------------------------------------------


def portion(path: Path, place: Place) -> tuple[list[bytes], Place]:
    """The next whole lines after this place, and the place after them. Raises one of _UNREADABLE."""
    there, *later = _from(path, place)
    with _opened(there) as file:
        inode = os.stat(there).st_ino
        offset = place.offset if _is_in(file, inode, place) else 0
        file.seek(offset)
        data = file.read(PORTION)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == PORTION:  # longer than any line of a mail log: passed over
            end = len(data) + _rest_of_line(file)
            data = b""
        if end == len(data) == 0 and later and _begun(later):
            return [], Place(os.stat(later[0]).st_ino)
        return data[:end].splitlines(), _place(file, inode, offset + end)


def _from(path: Path, place: Place) -> list[Path]:
    """The file that this place is in, and those that came after it."""
    if not place.inode or _has(path, place):
        return [path]
    rotated = sorted(_rotated(path), key=lambda one: one.stat().st_mtime_ns)
    for number in reversed(range(len(rotated))):
        if _has(rotated[number], place):
            return [*rotated[number:], path]
    path.stat()  # FileNotFoundError in the moment between renaming and making anew: nothing is skipped
    return [path]


def _begun(later: list[Path]) -> bool:
    """Whoever writes the log has gone on to a newer file: until then lines may still come into the old one."""
    return any(one.exists() and one.stat().st_size for one in later)


def _rotated(path: Path) -> Iterator[Path]:
    """mail.log.1, mail.log-20261128, mail.log.2.gz; what is being compressed just now is there once. A link or a pipe of such
    a name is not the log's: it could lead anywhere, or be waited for."""
    for one in path.parent.glob(f"{path.name}[.-]*"):
        if one.is_symlink() or not one.is_file():
            continue
        if one.suffix != ".gz" or not one.with_suffix("").exists():
            yield one


def _has(path: Path, place: Place) -> bool:
    try:
        with _opened(path) as file:
            return _is_in(file, os.stat(path).st_ino, place)
    except _UNREADABLE:
        return False


def _is_in(file, inode: int, place: Place) -> bool:
    if not place.offset:
        return inode == place.inode
    return _place(file, inode, place.offset).fingerprint == place.fingerprint


def _opened(path: Path):
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _place(file, inode: int, offset: int) -> Place:
    length = min(offset, BEFORE)
    file.seek(offset - length)
    before = file.read(length)
    found = hashlib.sha256(before).hexdigest() if len(before) == length else ""
    return Place(inode, offset, length, found if offset else "")


def _rest_of_line(file) -> int:
    """Bytes up to and with the next line end; as if nothing had been read, while there is none."""
    passed = 0
    while data := file.read(PORTION):
        if (end := data.find(b"\n")) >= 0:
            return passed + end + 1
        passed += len(data)
    return -PORTION
