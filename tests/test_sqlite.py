"""What the SQLite profile promises beside the tables."""

import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from mailpanel.sqlite.base import DatabaseWrapper, dovecot_file


def connect(path):
    options = connections.settings["default"] | {
        "ENGINE": "mailpanel.sqlite",
        "NAME": str(path),
        "OPTIONS": {"timeout": 10, "transaction_mode": "IMMEDIATE"},
    }
    wrapper = DatabaseWrapper(options, "default")
    try:
        wrapper.get_new_connection(wrapper.get_connection_params()).close()
    except (
        sqlite3.Error
    ):  # another thread has made the file and not yet the tables: tried again by whoever connects
        return False
    return True


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_are_for_the_group(tmp_path, umask):
    before = os.umask(umask)
    try:
        assert connect(tmp_path / "mail.sqlite3")
    finally:
        os.umask(before)
    for path in (tmp_path / "mail.sqlite3", dovecot_file(tmp_path / "mail.sqlite3")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_threads_that_connect_leave_the_umask_alone(tmp_path):
    before = os.umask(0o022)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(connect, [tmp_path / f"{number // 8}.sqlite3" for number in range(800)]))
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_directory_that_is_gone_is_a_database_that_does_not_answer(tmp_path):
    wrapper = DatabaseWrapper(
        connections.settings["default"] | {"NAME": str(tmp_path / "gone" / "mail.sqlite3")}, "default"
    )
    with pytest.raises(sqlite3.OperationalError, match="No such file or directory"):
        wrapper.get_new_connection(wrapper.get_connection_params())
