"""Imported before Django reads its settings: a directory of its own, and the database.

`DATABASE=mariadb pytest` runs everything that touches the database on a private MariaDB server; the default is SQLite.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ON_MARIADB = os.environ.get("DATABASE", "sqlite") == "mariadb"

# Open to other users, as the mail daemons are, and short, since the name of a socket is.
VAR = Path(tempfile.mkdtemp(prefix="mp-var-", dir="/tmp"))
VAR.chmod(0o755)
atexit.register(shutil.rmtree, VAR, ignore_errors=True)

for name in [name for name in os.environ if name.startswith("MAILPANEL_")]:
    del os.environ[name]
os.environ["MAILPANEL_VAR"] = str(VAR)
os.environ["DJANGO_SETTINGS_MODULE"] = "mailpanel.settings"

if ON_MARIADB:
    from tests.mariadb import MariaDB

    SERVER = MariaDB()
    atexit.register(SERVER.remove)
    os.environ["MAILPANEL_DATABASE_URL"] = SERVER.url("mailpanel")
