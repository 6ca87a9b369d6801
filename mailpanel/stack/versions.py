"""What differs between versions of the daemons, and so between Debian 12 and 13. Nowhere else."""

import shutil
import subprocess

from mailpanel.stack.render import RenderError

# Dovecot's configuration language by version: a directory below deploy/dovecot. 2.4 does not read a file of 2.3.
DOVECOT = {"2.3": "2.3"}
OF_DEBIAN_12 = "2.3"


def dovecot() -> str:
    """The directory for the Dovecot of this machine; without one, for Debian 12's."""
    if not shutil.which("dovecot"):
        return DOVECOT[OF_DEBIAN_12]
    told = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    series = ".".join(told.split(".")[:2])
    if series not in DOVECOT:
        raise RenderError(
            f"There is no configuration for Dovecot {told.split()[0]} yet, only for {', '.join(DOVECOT)}."
        )
    return DOVECOT[series]
