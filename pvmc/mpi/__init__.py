"""Ranks and their communication.  Alone imports mpi4py; importing it does not start MPI, ``world()`` does."""

from pvmc.mpi.communicator import (
    Communicator,
    MpiCommunicator,
    OnRoot,
    SerialCommunicator,
    block_range,
    require_identical,
)
from pvmc.mpi.ending import note_exit_code, run_main
from pvmc.mpi.launch import (
    Launcher,
    describe_mpi,
    describe_threads,
    launcher,
    limit_threads,
    mpi_library,
    on_terminal,
    world,
)
from pvmc.mpi.node import Node, bytes_in_words, node_of, oversubscription, usable_memory

__all__ = [
    "Communicator",
    "Launcher",
    "MpiCommunicator",
    "Node",
    "OnRoot",
    "SerialCommunicator",
    "block_range",
    "bytes_in_words",
    "describe_mpi",
    "describe_threads",
    "launcher",
    "limit_threads",
    "mpi_library",
    "node_of",
    "note_exit_code",
    "on_terminal",
    "oversubscription",
    "require_identical",
    "run_main",
    "usable_memory",
    "world",
]
