"""The layout of ``run.h5`` and of checkpoints, stated once.

The writers create the files from it, the readers read by it, and docs/hdf5.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

SCHEMA_VERSION = 1
"""Raised when a reader of the older layout would misread the new one; added quantities do not raise it."""

FILE_NAME = "run.h5"
"""Name of the results file in a run's directory."""

SERIES_CHUNK = 512
"""Rows per chunk of a series: 4 KiB, so that a run of 1000 iterations takes about 0.2 MB."""

THETA_CHUNK_BYTES = 1 << 16
"""A chunk of saved parameters holds as many whole vectors as fit in this, at least one."""

STATUSES = ("running", "finished", "stopped", "failed")
"""Values of ``/state/status``.  A reader adds "dead": says running, but its process is gone."""


@dataclass(frozen=True)
class Quantity:
    """A dataset with one row per SR iteration, in ``/series``, or per trial, in ``/starts``.

    Attributes:
        name: name of the dataset.
        dtype: "float64" or "int64".
        units: "1", "s", "samples", "draws", or a power of "energy", which stands for the run's ``energy_units``.
        description: what it is, in one phrase.
    """

    name: str
    dtype: Literal["float64", "int64"]
    units: str
    description: str

    @property
    def fill(self) -> float | int:
        """Value of a row that was not measured: NaN, or -1 for integers."""
        return -1 if self.dtype == "int64" else np.nan

    def units_in(self, energy_units: str) -> str:
        """Units with the Hamiltonian's own unit of energy put in: "J (S.S)" makes energy^2 into "J^2 (S.S)"."""
        symbol, space, remark = energy_units.partition(" ")
        symbol = f"({symbol})" if "/" in symbol and self.units != "energy" else symbol
        return self.units.replace("energy", symbol) + (space + remark if "energy" in self.units else "")


@dataclass(frozen=True)
class Attribute:
    """An attribute of the file's root, set at each launch of the run."""

    name: str
    type: type[str] | type[int] | type[float]
    description: str


@dataclass(frozen=True)
class Coordinate:
    """A dataset of a measurement that says what the places along an axis are.

    Attributes:
        name: name of the dataset.
        axes: names of its axes; the first is the one that it belongs to.
        dtype: "float64", "int64", or "int8" where it is 1 for the members of a set and 0 for others.
        units: "1", or a power of "a", the distance of nearest neighbours.
        description: what it is, in one phrase; "" where it was read from a file.
    """

    name: str
    axes: tuple[str, ...]
    dtype: str
    units: str
    description: str = ""


@dataclass(frozen=True)
class StateField:
    """A scalar dataset of ``/state``, or one of ``/sessions``: what may change while the run goes on (attributes may
    not, in SWMR mode).

    Attributes:
        name: name of the dataset.
        dtype: "int64", or "S<n>" for UTF-8 text of at most n bytes.
        description: what it is, in one phrase.
    """

    name: str
    dtype: str
    description: str


ITERATION = Quantity("iteration", "int64", "1", "number of the SR iteration, increasing; dimension scale of the series")

SERIES = (
    Quantity("energy", "float64", "energy", "real part of the mean local energy, of all sites"),
    Quantity("energy_error", "float64", "energy", "standard error of energy"),
    Quantity("energy_imaginary", "float64", "energy", "imaginary part of the mean local energy; 0 within its error"),
    Quantity("variance", "float64", "energy^2", "variance of the local energy; 0 in an eigenstate"),
    Quantity("autocorrelation_time", "float64", "draws", "integrated autocorrelation time of the local energy"),
    Quantity("r_hat", "float64", "1", "Gelman-Rubin R-hat of the local energy over the chains; 1 if they agree"),
    Quantity("acceptance", "float64", "1", "accepted fraction of the proposed Metropolis moves"),
    Quantity("v_score", "float64", "1", "V-score: n_sites * variance / (energy - E_inf)^2, E_inf = Tr H / 2^N"),
    Quantity("learning_rate", "float64", "1/energy", "step size gamma of the update"),
    Quantity("shift", "float64", "1", "diagonal regularisation lambda of the SR matrix"),
    Quantity("force_norm", "float64", "energy", "2-norm of the force vector F"),
    Quantity("update_norm", "float64", "1", "2-norm of the parameter update"),
    Quantity("update_angle", "float64", "rad", "angle by which the update turns the state, gamma sqrt(x^dagger S x)"),
    Quantity("solve_residual", "float64", "1", "relative residual of the regularised SR equations"),
    Quantity("solver_iterations", "float64", "1", "iterations of an iterative solver of the SR equations; else 0"),
    Quantity("seconds", "float64", "s", "wall time of the iteration"),
    Quantity("seconds_sampling", "float64", "s", "of it, Metropolis sampling"),
    Quantity("seconds_local_energies", "float64", "s", "of it, local energies"),
    Quantity("seconds_derivatives", "float64", "s", "of it, log-derivatives"),
    Quantity("seconds_products", "float64", "s", "of it, products of log-derivatives, in S and F"),
    Quantity("seconds_reducing", "float64", "s", "of it, sums over the ranks, with the wait for the slowest"),
    Quantity("seconds_solving", "float64", "s", "of it, solution of the SR equations"),
    Quantity("n_samples", "int64", "samples", "samples of all ranks"),
    Quantity("effective_samples", "float64", "samples", "equal weights with the same sum of squares"),
    Quantity(
        "variance_smeared", "float64", "energy^2", "variance of H by smeared draws, in leak tests (run.leak_every)"
    ),
    Quantity("leak", "float64", "energy^2", "that less the variance by the local energies of the same walkers"),
    Quantity("leak_error", "float64", "energy^2", "standard error of the leak"),
    Quantity(
        "tail_exponent", "float64", "1", "a of the tail of |E_loc - E|, P(> x) ~ x^-a, in leak tests; inf without tail"
    ),
    Quantity("stuck_walkers", "int64", "1", "walkers that stay in a mode of their own; looked for every 10 iterations"),
)

ROOT_ATTRIBUTES = (
    Attribute("schema_version", int, "version of this layout"),
    Attribute("pvmc_version", str, "version of pvmc"),
    Attribute("created", str, "when the run was first started (ISO 8601, UTC)"),
    Attribute("config", str, "the whole input as it was used, defaults filled in (TOML)"),
    Attribute("config_source", str, "the text of the user's own input file"),
    Attribute("command_line", str, "the command that started the run"),
    Attribute("git_revision", str, "commit of the pvmc source tree, with -dirty if it had changes; empty if unknown"),
    Attribute("host", str, "host name of rank 0"),
    Attribute("pid", int, "process id of rank 0"),
    Attribute("ranks", int, "number of MPI ranks"),
    Attribute("mpi_library", str, "MPI library and version; empty without MPI"),
    Attribute("python_version", str, "version of Python"),
    Attribute("numpy_version", str, "version of numpy"),
    Attribute("scipy_version", str, "version of scipy"),
    Attribute("numba_version", str, "version of numba"),
    Attribute("h5py_version", str, "version of h5py"),
    Attribute("cpu_model", str, "processor of rank 0"),
    Attribute("blas", str, "BLAS library, version and kernel"),
    Attribute("seed", int, "run.seed of the input, the seed of all random numbers; of several starts, the first seed"),
    Attribute("n_sites", int, "number of lattice sites N"),
    Attribute("n_parameters", int, "number of variational parameters K"),
    Attribute("n_iterations", int, "number of SR iterations planned"),
    Attribute("energy_units", str, "unit of energy, such as J; what operators it multiplies follows in brackets"),
)

STATE = (
    StateField("status", "S16", " | ".join(STATUSES)),
    StateField("message", "S1024", "why the run stopped or failed; else empty"),
    StateField("ended", "S32", "when it ended (ISO 8601, UTC); empty while it runs"),
    StateField("iterations_done", "int64", "complete rows of /series; rows past it may be torn and are not to be read"),
)

SESSIONS = (
    StateField("started", "S32", "when this launch of the run began (ISO 8601, UTC)"),
    StateField("first_iteration", "int64", "its first SR iteration: 0, or where it went on from a checkpoint"),
    StateField("ranks", "int64", "its number of MPI ranks"),
    StateField("threads", "int64", "threads of each rank; wall time x ranks x threads is the time of the cores"),
    StateField("host", "S256", "host name of rank 0"),
    StateField("pid", "int64", "process id of rank 0"),
    StateField("seconds", "float64", "wall time from its start to what it wrote last"),
    StateField(
        "outcome", "S16", "as /state/status, killed, retried (numbers went bad), or redrawn n (another start, draw n)"
    ),
)
"""Datasets of ``/sessions``, with one row for each launch of the run.  In SWMR mode rows are only changed, never added:
a launch lays the file out anew."""

STARTS = (
    Quantity("seed", "int64", "1", "seed of all random numbers of the trial"),
    Quantity("iterations", "int64", "1", "SR iterations of the trial that are done"),
    Quantity("energy", "float64", "energy", "mean energy of its plateau; NaN until then, inf where it went bad"),
    Quantity("energy_error", "float64", "energy", "standard error of energy, which accounts for correlations"),
)
"""Datasets of ``/starts``, with one row for each seed where several are tried.  All rows are there from the beginning;
one counts once its energy, which is written last, is a number."""

CHECKPOINT_LAYOUT = 2
"""Raised when a reader of the older layout of checkpoints would misread the new one."""

CHECKPOINT_HEADER = 512
"""Bytes of text at the start of a checkpoint."""

CHECKPOINT = (
    ("theta", "float64 or complex128 (K,)", "the flat parameter vector"),
    ("spins", "int8 (n_blocks, N, lanes)", "+-1, walkers of all ranks in the order of their blocks"),
    (
        "parts",
        "groups of numeric arrays",
        "what each part of the run has saved, such as `memory` and `rollback`",
    ),
    ("config", "text", "the whole input of the run, defaults filled in (TOML)"),
)
"""Name, type and meaning of what a checkpoint holds."""

CHECKPOINT_ATTRIBUTES = (
    Attribute("iteration", int, "number of the next SR iteration"),
    Attribute("checkpoint_layout", int, "version of this layout"),
)
"""Attributes of a checkpoint's root that are always there; seed, versions and machine come beside them."""

_INTRODUCTION = """\
# The results file

`{file}`, layout version {version}.  This page is generated from `pvmc/io/schema.py`.

The file can be read while it is written: open it with `h5py.File(path, swmr=True)`, which also opens a file left
behind by a killed run, or with `pvmc.open_run(path)`.  Axes are named and carry dimension scales, so that xarray reads
the groups of a run that is over as they are: `xarray.open_dataset("run.h5", engine="h5netcdf", group="series")`; more
in [interchange.md](interchange.md).  "energy" among the units stands for the attribute `energy_units`.
Energies are totals: divide by `n_sites` for energies per site.
"""

_PARAMETERS = """\
| dataset | type, shape | meaning |
|---|---|---|
| `theta` | float64 or complex128 (n_saved, K), axes `iteration`, `parameter` | the flat vector at each saving |
| `iteration` | int64 (n_saved,), scale of axis `iteration` | the iteration after which each row was saved |
| `parameter` | int64 (K,), scale of axis `parameter` | position in the flat vector |

Attributes of `theta`: `block_names` lists the named parts of the vector; `<block>_slice` = (start, stop) and
`<block>_shape` say where each part lies and how it is shaped (C order).
"""

_REFERENCE = """\
Attributes, present when known: `energy` (total, in units of energy), the lowest of the states that the run can reach,
`method` (where it comes from) and `radius` (a bound on half the width of the spectrum of H, the sum of |c_P| over its
Pauli strings, in units of energy: what errors are relative to where the exact energy is zero).  Text, empty where there
is nothing to say, and missing in files of earlier versions: `sector` (magnetisation and symmetries that these states
have by construction), `ground_sector` (the magnetisation of the ground state) and `elsewhere` (why the ground state is
not among these states, with the key to change).  `ground_energy` (total) is that of the ground state, where known;
`product_energy` the lower one of the states of all spins up and all down, where the run keeps another magnetisation.
"""


_SESSIONS = """\
One row for each launch of the run: the first, and each that went on from a checkpoint.  `session` (int64) is the scale
of their axis: 0, 1, ...
"""

_STARTS = """\
Only where `run.starts` > 1, with one row for each seed.  Once no energy is NaN, the run is that of the seed of lowest
energy (the first, if several), from iteration 0 on; checkpoints name it in their attribute `seed`.
`start` (int64) is the scale of their axis: 0, 1, ...
"""

MEASUREMENT_ATTRIBUTES = (
    Attribute("iteration", int, "the parameters are those saved after it; of a fit, its last epoch"),
    Attribute("n_samples", int, "configurations of all ranks"),
    Attribute("seed", int, "seed of the random numbers"),
    Attribute("status", str, "running, also where it was stopped and can go on | finished"),
    Attribute("created", str, "when it was first started (ISO 8601, UTC)"),
    Attribute("command_line", str, "the command that started it"),
    Attribute("pvmc_version", str, "version of pvmc"),
    Attribute("host", str, "host name of rank 0"),
    Attribute("observables", str, "what was asked for; runs that it is compared with by file and iteration"),
)
"""Attributes of ``/measurements/NNNN`` that are always there."""


def axis_scale(axis: str, coordinates: Container[str]) -> str:
    """Name of the dimension scale of an axis of a measurement, which numbers its places: int64 0, 1, ...

    The name of the axis, unless that is a coordinate's: to xarray a dataset named like its axis is one-dimensional.
    """
    return f"{axis}_number" if axis in coordinates else axis


SAMPLED_ATTRIBUTES = (
    Attribute("acceptance", float, "accepted moves per proposal"),
    Attribute("autocorrelation_time", float, "of the local energy, in draws"),
    Attribute("r_hat", float, "R-hat of the local energy"),
    Attribute("largest_r_hat", float, "the largest R-hat of all local values"),
    Attribute("largest_r_hat_of", str, "the dataset that it belongs to"),
    Attribute("tail_exponent", float, "a of the tail of |E_loc - E|, P(> x) ~ x^-a; inf where it has none"),
    Attribute("tail_exponent_error", float, "standard error of tail_exponent"),
    Attribute("unreliable", str, "datasets whose errors cannot be trusted, with commas; the terminal said why"),
    Attribute("forced_to_zero", str, "values that symmetry or reality forces to zero and that are not; missing: none"),
    Attribute("samples", int, "configurations that were asked for"),
    Attribute("until_error", float, "error of the energy per site that was asked for, if one was"),
)
"""Attributes of ``/measurements/NNNN`` once it has samples; not in files of earlier versions, nor of enumerations."""

_MEASUREMENTS = """\
Expectation values at parameters that stay, of `pvmc measure` ([measure.md](measure.md)); also in `fit.h5`.  Each call
has a group, `/measurements/0001`, `0002`, ...; spins are those before any Marshall rotation.  `Run.measurements` reads
them.
"""

_COORDINATES = """\
Beside each its standard error, `NAME_error`.  The axes are named by their dimension scales, which number them, int64 0,
1, ...  Where an observable has them, coordinates say what these places are; the attributes `coordinates` of a dataset
and of the group, by the CF conventions, tell xarray so.  a is the distance of nearest neighbours.  In files of earlier
versions the coordinates themselves were the scales: pvmc reads them, xarray does not.
"""

_CHECKPOINT = """\
## Checkpoints

`checkpoint-<iteration>.h5`, layout version {version}: all that the next iteration needs.  The last two are kept.  A
file is written under another name, forced to the disk, and only then given its own, so that one that is there is whole.
`recent-<iteration>.h5` is the same, but not forced to the disk: there is at most one, newer than all checkpoints.  It
survives the end of the processes, and after a crash of the machine its digest tells whether it is whole.

The first {header} bytes (HDF5's "user block") are text, filled up with blanks:

    pvmc checkpoint
    layout {version}
    length <bytes that follow the header>
    blake2b <256-bit digest of the three lines above and of the bytes that follow, in hexadecimal>

The digest is compared before anything else is read.  To h5py and h5dump the file is HDF5 as usual.
"""


def schema_markdown(
    measured: Sequence[tuple[str, tuple[str, ...], str, str, str]], coordinates: Sequence[Coordinate]
) -> str:
    """The page docs/hdf5.md: every group, dataset and attribute of the results file and of checkpoints.

    Args:
        measured: name, axes, units, observable and meaning of the datasets of a measurement.
        coordinates: what the places along their axes are.
    """
    series = [(q.name, q.dtype, q.units, q.description) for q in (ITERATION, *SERIES)]
    attributes = [(a.name, a.type.__name__, a.description) for a in ROOT_ATTRIBUTES]
    state = [(s.name, s.dtype, s.description) for s in STATE]
    sessions = [(s.name, s.dtype, s.description) for s in SESSIONS]
    starts = [(q.name, q.dtype, q.units, q.description) for q in STARTS]
    about = (*MEASUREMENT_ATTRIBUTES, *SAMPLED_ATTRIBUTES)
    of_group = [(a.name, a.type.__name__, a.description) for a in about]
    taken = {c.name for c in coordinates}
    estimates = [(name, _scales(axes, taken), *others) for name, axes, *others in measured]
    places = [(c.name, _scales(c.axes, taken), c.dtype, c.units, c.description) for c in coordinates]
    always = [(a.name, a.type.__name__, a.description) for a in CHECKPOINT_ATTRIBUTES]
    parts = (
        _INTRODUCTION.format(file=FILE_NAME, version=SCHEMA_VERSION),
        "## /series: one row per SR iteration, axis `iteration`\n",
        "A row that was not measured is NaN (-1 for integers).\n",
        _table(("dataset", "type", "units", "meaning"), series),
        "## /parameters: the variational parameters, at chosen iterations\n",
        _PARAMETERS,
        "## /state: scalars that change while the run goes on\n",
        _table(("dataset", "type", "meaning"), state),
        "## /sessions: the launches of the run, axis `session`\n",
        _SESSIONS,
        _table(("dataset", "type", "meaning"), sessions),
        "## /starts: the trials of a run of several starts, axis `start`\n",
        _STARTS,
        _table(("dataset", "type", "units", "meaning"), starts),
        "## /measurements: expectation values at saved parameters\n",
        _MEASUREMENTS,
        _table(("dataset", "axis", "units", "observable", "meaning"), estimates),
        _COORDINATES,
        _table(("dataset", "axes", "type", "units", "meaning"), places),
        "Attributes of the group:\n",
        _table(("attribute", "type", "meaning"), of_group),
        "## /reference: the exact ground-state energy\n",
        _REFERENCE,
        "## Attributes of the root\n",
        _table(("attribute", "type", "meaning"), attributes),
        _CHECKPOINT.format(version=CHECKPOINT_LAYOUT, header=CHECKPOINT_HEADER),
        _table(("name", "type, shape", "meaning"), CHECKPOINT),
        "Attributes of the root; besides these the seed, versions and machine that wrote it:\n",
        _table(("attribute", "type", "meaning"), always),
    )
    return "\n".join(parts)


def _scales(axes: Sequence[str], coordinates: Container[str]) -> str:
    return ", ".join(axis_scale(axis, coordinates) for axis in axes)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; the first column is set as code, and bars within cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, *rest in rows:
        lines.append("| " + " | ".join([f"`{name}`", *(cell.replace("|", "\\|") for cell in rest)]) + " |")
    return "\n".join(lines) + "\n"
