"""Why a file could not be read or written, in the system's words."""

from __future__ import annotations

import os
import re


def reason(error: Exception) -> str:
    """One line for a failure of the file system; h5py hides the system's error number in a long message."""
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"errno = (\d+)", str(error))):
        number = int(found.group(1))
    return os.strerror(number) if number else (str(error).splitlines() or [type(error).__name__])[0]
