"""Ranks and their communication.  Alone imports mpi4py; importing it does not start MPI, ``world()`` does."""

from pvmc.parallel.communicator import (
    Communicator,
    MpiCommunicator,
    SerialCommunicator,
    block_range,
    require_identical,
)
from pvmc.parallel.ending import run_main
from pvmc.parallel.launch import Launcher, describe_mpi, describe_threads, launcher, limit_threads, mpi_library, world

__all__ = [
    "Communicator",
    "Launcher",
    "MpiCommunicator",
    "SerialCommunicator",
    "block_range",
    "describe_mpi",
    "describe_threads",
    "launcher",
    "limit_threads",
    "mpi_library",
    "require_identical",
    "run_main",
    "world",
]
