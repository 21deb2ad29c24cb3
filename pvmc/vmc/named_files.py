"""Files that an input names: opened and checked before anything is written.

Those of ``lattice.edges`` and ``hamiltonian.file`` are parts of what these sections build, and checked with them; here
are those that are read later, when a run or a fit begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pvmc.config import KeyProblem
from pvmc.errors import InputError, StorageError
from pvmc.fit.data import from_file
from pvmc.io.earlier import read_parameters
from pvmc.spins.files import read_arrays, read_configurations
from pvmc.wavefunctions.base import Ansatz


def check_parameters(source: str | None, ansatz: Ansatz | None) -> None:
    """Check that ``ansatz.start_from`` is a run or a fit with finite parameters of this wave function.

    Args:
        source: the key's value.
        ansatz: the wave function; None where it could not be built, and the file alone is looked at.

    Raises:
        KeyProblem: it is none.
    """
    if source is None:
        return
    with _of_key("ansatz.start_from", source):
        saved = read_parameters(source)
        if ansatz is not None:
            saved.fitting(ansatz.parameter_blocks, ansatz.dtype)


def check_walkers(source: str, n_sites: int | None, magnetization: int | None) -> None:
    """Check that ``sampler.start_file`` holds configurations of N spins and of the magnetisation that the moves keep.

    Raises:
        KeyProblem: it does not.
    """
    with _of_key("sampler.start_file", source):
        if n_sites is None:
            read_arrays(source)
        else:
            read_configurations(source, n_sites, magnetization)


def check_target(target: str, source: str, n_sites: int | None, magnetization: int | None) -> None:
    """Check that ``fit.source`` holds amplitudes of configurations, or is a run or a fit with parameters of N spins.

    Args:
        target: ``fit.target``, "file" or "run"; other ones have no source.
        source: ``fit.source``.
        n_sites: N; None where it is not known.
        magnetization: sum that every configuration must have, or None.

    Raises:
        KeyProblem: it is none.
    """
    with _of_key("fit.source", source):
        if target == "file" and n_sites is not None:
            from_file(source, n_sites, magnetization, None, "target")
        elif target == "file":
            read_arrays(source)
        elif target == "run":
            saved = read_parameters(source)
            if n_sites is not None and saved.n_sites != n_sites:
                raise InputError(f"{saved.path} has {saved.n_sites} sites, not {n_sites}")


@contextmanager
def _of_key(key: str, value: str) -> Iterator[None]:
    """Problems of a file as problems of the key that names it."""
    try:
        yield
    except (InputError, StorageError) as error:
        raise KeyProblem(key, value, str(error).removeprefix(f"{key}: ").removeprefix(f"{value}: ")) from None
    except OSError as error:  # a name that no file can have
        raise KeyProblem(key, value, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise KeyProblem(key, value, f"cannot be read: {error}") from None
