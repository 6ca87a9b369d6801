"""Transactions that the database undid because of another one are done again."""

import functools
import logging
import random
import time

from django.db import OperationalError, connection

# MariaDB: a deadlock, of which one side is undone (a failed certification on Galera reads the same); and, with
# innodb_snapshot_isolation, a row that changed since the transaction's snapshot. Both say: try again.
TRY_AGAIN = {1213, 1020}
RETRIES = 3
log = logging.getLogger(__name__)


def retried_on_deadlock(function):
    """Run the decorated function again, up to three times and a little later each, when the database undid its
    transaction. After that the error goes on, and the page says 503.

    Its database work is one transaction, and what it does for good (Dovecot, a message) comes after that: then nothing
    happens twice. Inside a transaction of the caller's nothing is repeated, since all of it is undone: the outermost
    function is the one that tries again.
    """

    @functools.wraps(function)
    def again(*args, **kwargs):
        if connection.in_atomic_block:
            return function(*args, **kwargs)
        for attempt in range(1, RETRIES + 1):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if not TRY_AGAIN & set(error.args[:1]):
                    raise
                log.info("%s is tried again: %s", function.__name__, error)
                time.sleep(random.uniform(0.01, 0.03) * 2**attempt)  # noqa: S311  not a secret
        return function(*args, **kwargs)

    return again
