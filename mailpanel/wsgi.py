import logging
import os

import django
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailpanel.settings")
django.setup()

# A database that is away now may be back in a moment, and the pages say so; one that is wrong stops the start.
try:
    call_command("check", databases=["default"], verbosity=0)
except OperationalError as error:
    logging.getLogger(__name__).warning(
        "The database does not answer, so its tables are not checked: %s", error
    )

application = WSGIHandler()
