"""Values that symmetry or reality forces to zero: which they are, by matrices, and when they are worth a warning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.pauli import PauliSum
from pvmc.io.measurement import Estimate
from pvmc.lattice import chain
from pvmc.measurement.observable import Frame
from pvmc.measurement.operators import Magnetization, forced_to_zero, odd
from pvmc.measurement.registry import local_values
from pvmc.vmc.job import Job, load_job
from tests.helpers import kronecker_string


@pytest.mark.parametrize("letters", ["".join(word) for word in itertools.product("IXYZ", repeat=3)][1:])
def test_parities_are_those_of_the_matrices(letters: str) -> None:
    """Under U P U^+ = -P a string is odd, with U the product of all Z, X or Y; under conjugation where P* = -P."""
    string = tuple((site, letter) for site, letter in enumerate(letters) if letter != "I")
    found = odd(Operator.from_pauli_sum(PauliSum({string: 0.7}), 3))
    one = kronecker_string(dict(string), 3).toarray()
    products = [kronecker_string(dict.fromkeys(range(3), letter), 3).toarray() for letter in "ZXY"]
    signs = [np.allclose(one.conj(), -one)]
    signs += [np.allclose(product @ one @ product.conj().T, -one) for product in products]
    assert found[found.any(axis=1)].tolist() == ([signs] if any(signs) else [])
    assert len(found) == 1


@pytest.mark.parametrize("letter", "XYZ")
def test_parities_of_magnetisations(letter: str) -> None:
    single = odd(Operator.from_pauli_sum(PauliSum({((1, letter),): 1.0}), 3))
    found = Magnetization(Frame(chain(3), np.ones(3), fixed=False)).parities()
    assert found[f"magnetization_{letter.lower()}"].tolist() == single.tolist()


def job(directory: Path, hamiltonian: str, sampler: str = "") -> Job:
    path = directory / "in.toml"
    path.write_text(
        f'lattice = {{ kind = "chain", length = 6 }}\nhamiltonian = {hamiltonian}\n'
        f'ansatz = {{ kind = "rbm", alpha = 1, symmetry = "none" }}\nsampler = {{ {sampler} }}\n'
    )
    return load_job(path)


ISING, TILTED = '{ model = "ising", field = 0.4 }', '{ model = "ising", field = 0.4, longitudinal = 0.1 }'
CHIRAL = '{ model = "terms", terms = [[1.0, "X0 Y1 Z2"]], patterns = [{ operator = "Zi Zj" }] }'
HEISENBERG = '{ model = "heisenberg" }'


@pytest.mark.parametrize(
    ("hamiltonian", "sampler", "name", "value", "error", "why"),
    [
        (ISING, "", "magnetization_y", -8.8e-4, 3e-6, "H is real"),
        (ISING, "", "magnetization_y", -8.8e-4, 3e-4, None),  # not resolved
        (ISING, "", "magnetization_y", -2e-5, 1e-7, None),  # no matter
        (ISING, "", "magnetization_y", 1e-2, 0.0, "H is real"),  # enumerated
        (ISING, "", "magnetization_z", 0.5, 1e-3, "product of all sigma^x"),
        (ISING, "", "magnetization_x", 0.5, 1e-3, None),
        (TILTED, "", "magnetization_z", 0.5, 1e-3, None),
        (TILTED, "", "operator_xy", 2e-3, 1e-4, "H is real"),
        (CHIRAL, "", "magnetization_y", 0.1, 1e-3, "product of all sigma^z"),
        (CHIRAL, "", "operator_xy", 0.1, 1e-3, "product of all sigma^x"),  # not by reality, which H lacks
        (HEISENBERG, "magnetization = 2", "magnetization_z", 1 / 3, 0.0, None),
        (HEISENBERG, "magnetization = 0", "operator_xy", 0.1, 1e-3, "H is real"),
    ],
)
def test_what_is_forced_to_zero(
    tmp_path: Path, hamiltonian: str, sampler: str, name: str, value: float, error: float, why: str | None
) -> None:
    one = job(tmp_path, hamiltonian, sampler)
    observables = local_values(["magnetization", "operator:xy=X0 Y1", "operator:zz=Z0 Z1"], one)
    found = forced_to_zero(
        one, observables.parities, {name: Estimate(value, error), "operator_zz": Estimate(0.9, 1e-3)}
    )
    assert len(found) == (why is not None)
    assert why is None or (why in found[0] and name in found[0])
