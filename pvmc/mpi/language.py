"""The language between launcher and MPI library, judged before MPI starts: where they have none in common, the library
may abort in its own words, or print a page of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PMIX = ("PMIX_NAMESPACE", "PMIX_RANK")
_PMI = ("PMI_FD", "PMI_PORT", "PMI_RANK")


def speaks_with(description: str, environment: Mapping[str, str], several: bool) -> bool:
    """Whether a library may hear of the processes that a launcher has started; false where it certainly does not.

    Open MPI speaks PMIx alone since version 5, and MPICH as most have it speaks PMI-1 and PMI-2 alone.

    Args:
        description: what the library says of itself, all lines.
        environment: of this process, as the launcher has set it.
        several: whether the launcher says that it started several processes.  One alone needs no launcher's help from
            Open MPI.
    """
    if found := re.match(r"Open MPI v(\d+)\.", description):
        return int(found[1]) < 5 or not several or _any(_PMIX, environment)
    if description.startswith("MPICH"):
        return "pmix" in description.lower() or not _any(_PMIX, environment) or _any(_PMI, environment)
    return True


def _any(names: tuple[str, ...], environment: Mapping[str, str]) -> bool:
    return any(name in environment for name in names)
