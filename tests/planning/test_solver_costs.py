"""The choice of a solver: landmarks, memory counted independently, limits of the cost model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks import cost_model
from pvmc.planning import rates
from pvmc.planning.rates import CLUSTER, Link, Network, Rates, measure_rates
from pvmc.planning.sizes import Sizes
from pvmc.planning.solver_costs import (
    ITERATIONS,
    MEMORY_LIMIT,
    NOMINAL_RANKS,
    SOLVERS,
    SolverName,
    choose,
    cost,
    linear_memory,
)
from pvmc.sr import resolve
from pvmc.sr.spec import SRSpec
from tests.jobs import job_of, ring

FREE = Network(cores=64, inside=Link(0.0, math.inf), between=Link(0.0, math.inf), call=0.0, adding=((1.0, 0.0),))
ONLY_FLOPS = Rates(real_flops=1.0, complex_flops=1.0, bandwidth=math.inf, network=FREE)
"""One operation in a second and everything else for nothing: seconds are operations."""

PLAIN = Sizes(6560, 4096)
"""An RBM of 40 sites and 160 hidden units without symmetry: 6560 = 40 x 160 + 160."""

REAL = replace(PLAIN, is_complex=False)
STACKED = replace(PLAIN, is_complex=False, stacked=True)


# The choice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "solver"),
    [
        (Sizes(82, 8192), "dense"),
        (Sizes(164, 1008), "dense"),
        (Sizes(1980, 8192), "dense"),
        (Sizes(6560, 1024), "minsr"),
        (Sizes(6560, 8192), "krylov"),
        (Sizes(26000, 1024), "minsr"),
        (Sizes(26000, 65536), "krylov"),
        (Sizes(10**6, 512), "minsr"),
        (Sizes(10**6, 10**6, factor_rows=2000), "krylov"),
        (replace(REAL, n_parameters=82), "dense"),
        (replace(STACKED, n_parameters=26000, n_samples=512), "minsr"),
    ],
)
def test_landmarks(sizes: Sizes, solver: SolverName) -> None:
    assert choose(sizes).solver == solver


def test_small_matrices_are_factorised_on_any_number_of_ranks() -> None:
    assert {choose(Sizes(82, 8192), ranks).solver for ranks in (1, 2, 64, 4096)} == {"dense"}


def test_dense_loses_its_preference_where_it_is_clearly_the_slowest() -> None:
    """1980 parameters, but 64 samples: a 64 x 64 kernel costs next to nothing."""
    sizes = Sizes(1980, 64)
    assert choose(sizes).solver == "minsr"
    others = [cost(sizes, solver, NOMINAL_RANKS).seconds for solver in ("minsr", "krylov")]
    assert cost(sizes, "dense", NOMINAL_RANKS).seconds > 3 * max(others)


def test_above_the_preference_it_is_the_fastest_that_fits() -> None:
    for n_parameters in (2500, 6560, 26000):
        for n_samples in (256, 4096, 65536):
            sizes = Sizes(n_parameters, n_samples)
            costs = {solver: cost(sizes, solver, NOMINAL_RANKS) for solver in SOLVERS}
            fitting = {solver: one.seconds for solver, one in costs.items() if one.memory <= MEMORY_LIMIT}
            assert fitting, "the case is one of those that fit"
            assert choose(sizes).solver == min(fitting, key=lambda solver: fitting[solver])


def test_a_solver_that_does_not_fit_is_not_chosen() -> None:
    sizes = Sizes(6560, 1024)
    needed = cost(sizes, "minsr", NOMINAL_RANKS).memory
    assert choose(replace(sizes, memory_limit=needed)).solver == "minsr"
    assert choose(replace(sizes, memory_limit=needed - 1)).solver == "krylov"
    small = Sizes(164, 1008)
    assert choose(replace(small, memory_limit=cost(small, "dense", NOMINAL_RANKS).memory - 1)).solver != "dense"


def test_where_none_fits_the_smallest_is_taken_and_said() -> None:
    choice = choose(replace(PLAIN, memory_limit=1))
    assert choice.solver == min(SOLVERS, key=lambda solver: cost(PLAIN, solver, NOMINAL_RANKS).memory)
    assert "none of the solvers fits into the memory" in choice.reason


def test_the_choice_of_a_run_is_that_of_64_ranks_or_of_its_blocks() -> None:
    assert choose(PLAIN) == choose(PLAIN, 64)
    assert choose(replace(PLAIN, n_blocks=4)) == choose(replace(PLAIN, n_blocks=4), 4)


def test_reasons_name_the_sizes_of_the_systems() -> None:
    reason = "K = 26000 parameters, 1024 samples: minsr solves a 1024 x 1024 system instead of 26000 x 26000"
    assert choose(Sizes(26000, 1024)).reason == reason
    stacked = choose(Sizes(26000, 512, is_complex=False, stacked=True)).reason
    assert "512 samples: minsr solves a 1024 x 1024 system" in stacked, "real and imaginary parts are rows of their own"
    assert choose(Sizes(82, 8192)).reason.endswith("dense solves the 82 x 82 system directly")


def test_a_named_solver_is_taken() -> None:
    for solver in SOLVERS:
        assert resolve(SRSpec(solver=solver), PLAIN).solver == solver
    assert resolve(SRSpec(), PLAIN) == choose(PLAIN)


def test_what_only_one_solver_does_decides() -> None:
    assert choose(PLAIN).solver != "dense"
    assert resolve(SRSpec(factorisation="eigen"), PLAIN).solver == "dense"
    assert resolve(SRSpec(method="adam"), Sizes(82, 8192)).solver == "krylov"


# Memory ---------------------------------------------------------------------------------------------------------------


def counted(sizes: Sizes, solver: SolverName, ranks: int) -> int:
    """Bytes of arrays of these shapes and types, as numpy counts them."""
    theta = np.dtype(np.complex128 if sizes.is_complex else np.float64)
    derivative = np.dtype(np.complex128 if sizes.is_complex or sizes.stacked else np.float64)
    planes = theta.itemsize // 8
    k, n = sizes.n_parameters, sizes.n_samples * (2 if sizes.stacked else 1)
    own = sizes.n_samples // ranks
    shapes: list[tuple[tuple[int, ...], np.dtype]]
    if solver == "krylov":
        shapes = [((sizes.factor_rows or k, own), derivative), ((10, k), theta)]
        if sizes.factor_rows:
            shapes += [((2, sizes.factor_rows, min(own, 512)), derivative)]
    elif sizes.factor_rows and sizes.uniform_penalty:
        shapes = [((n, n), theta), ((n * n // 2,), theta), ((3, n * n // 2 // ranks), theta)]
        shapes += [((sizes.factor_rows, configurations), derivative) for configurations in (own, sizes.n_samples)]
    else:
        shapes = [((n, n), theta), ((n * n // 2, planes), np.dtype(np.int64))]
        shapes += [((k, own), derivative), ((3, 256, sizes.n_samples), derivative)]
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes)


@pytest.mark.parametrize("sizes", [PLAIN, REAL, STACKED], ids=["complex", "real", "stacked"])
@pytest.mark.parametrize("solver", ["minsr", "krylov"])
@pytest.mark.parametrize("ranks", [1, 16, 32])  # divide K and n_s
@pytest.mark.parametrize("factors", [{}, {"factor_rows": 200}, {"factor_rows": 200, "uniform_penalty": True}])
def test_memory_is_that_of_the_arrays(sizes: Sizes, solver: SolverName, ranks: int, factors: dict) -> None:
    sizes = replace(sizes, **factors)
    assert linear_memory(sizes, solver, ranks).peak == counted(sizes, solver, ranks)


@pytest.mark.parametrize("sizes", [PLAIN, REAL, STACKED], ids=["complex", "real", "stacked"])
def test_dense_memory_does_not_depend_on_samples_and_ranks(sizes: Sizes) -> None:
    """Packed integers, S and its factor: 1/2 + 1 + 1 matrices, where the chunk's rows are few against them."""
    theta = 16 if sizes.is_complex else 8
    for changed in (sizes, replace(sizes, n_samples=10**7)):
        for ranks in (1, 2, 64):
            assert linear_memory(changed, "dense", ranks).peak == 5 * 6560**2 * theta // 2


def test_rows_are_those_of_whole_blocks() -> None:
    """5 blocks on 2 ranks: one of them has 3."""
    sizes = replace(PLAIN, n_samples=5 * 64, n_blocks=5)
    assert linear_memory(sizes, "krylov", 2).derivatives == 3 * 64 * 6560 * 16
    assert linear_memory(sizes, "krylov", 5).derivatives == 64 * 6560 * 16


# Operations -----------------------------------------------------------------------------------------------------------


def operations(sizes: Sizes, solver: SolverName, ranks: int = 1) -> tuple[float, float]:
    """In products and in the solution, were triangles made as fast as matrices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pvmc.planning.solver_costs.TRIANGLE_SPEED", 1.0)
        found = cost(sizes, solver, ranks, ONLY_FLOPS)
    assert found.messages == 0.0
    return found.products, found.solve


@pytest.mark.parametrize("sizes", [PLAIN, REAL, STACKED], ids=["complex", "real", "stacked"])
def test_operations_are_those_of_the_products(sizes: Sizes) -> None:
    """A multiplication and an addition for each pair of elements: eight operations where both are complex, four where
    one is, two where none is; a triangle is half of a product; Cholesky needs K^3 / 6 of them."""
    pair = 8 if sizes.is_complex else 2
    k, n = sizes.n_parameters, sizes.n_samples * (2 if sizes.stacked else 1)
    with_vector = (8 if sizes.is_complex else 4 if sizes.stacked else 2) * k * sizes.n_samples
    assert operations(sizes, "dense") == pytest.approx((pair * k * k * n / 2, pair * k**3 / 6))
    assert operations(sizes, "minsr") == pytest.approx((pair * n * n * k / 2 + with_vector, pair * n**3 / 6))
    assert operations(sizes, "krylov") == pytest.approx((ITERATIONS * 2 * with_vector, 0.0))


@pytest.mark.parametrize("solver", SOLVERS)
def test_products_are_shared_out_and_the_root_is_not(solver: SolverName) -> None:
    products, solve = operations(PLAIN, solver)
    for ranks in (2, 16):
        shared, alone = operations(PLAIN, solver, ranks)
        assert shared * ranks == pytest.approx(products)
        assert alone == solve


def test_factors_make_the_kernel_cheaper_by_their_number() -> None:
    """40 + 160 numbers in place of their 6400 products."""
    factored = Sizes(6400, 4096, factor_rows=200, uniform_penalty=True)
    with_vector = 8 * 6400 * 4096
    plain, cheap = (operations(one, "minsr")[0] - with_vector for one in (Sizes(6400, 4096), factored))
    assert plain / cheap == pytest.approx(6400 / 200)
    spoilt = replace(factored, uniform_penalty=False)
    assert operations(spoilt, "minsr")[0] - with_vector == pytest.approx(plain), "a penalty of each parameter"


def test_conjugate_gradients_end_at_the_rank_of_the_matrix() -> None:
    assert operations(Sizes(5000, 20), "krylov")[0] == 20 * 2 * 8 * 5000 * 20
    assert operations(Sizes(20, 5000), "krylov")[0] == 20 * 2 * 8 * 5000 * 20


def test_stored_rows_are_read_from_memory_and_factors_are_not() -> None:
    reading = replace(ONLY_FLOPS, real_flops=math.inf, complex_flops=math.inf, bandwidth=1.0)
    rows = cost(PLAIN, "krylov", 1, reading).products
    assert rows == ITERATIONS * 2 * 16 * 6560 * 4096
    assert cost(replace(PLAIN, factor_rows=200), "krylov", 1, reading).products == 0.0


# Messages -------------------------------------------------------------------------------------------------------------


def scaling_model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(cost_model.__file__).parent))
    import scaling_model

    return scaling_model


def test_messages_take_as_long_as_in_the_scaling_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same formulae, with the assumptions about a cluster of the same names."""
    study = scaling_model(monkeypatch)
    inside, between = cost_model.Link(1.7e-6, 8.5e9), cost_model.Link(study.NETWORK.latency, study.NETWORK.bandwidth)
    machine = cost_model.Machine(study.NODE_CORES, inside, between, CLUSTER.call, CLUSTER.adding)
    for ranks in (1, 2, 3, 64, 65, 1000, 4096):
        for n_bytes in (8, 2624, 222_000, 31_000_000):
            for kind, seconds in (("reduce", CLUSTER.reduction), ("broadcast", CLUSTER.broadcast)):
                expected = cost_model.collective_seconds(cost_model.Collective(kind, n_bytes), ranks, machine)
                assert seconds(n_bytes, ranks) == pytest.approx(expected, rel=1e-12)


def test_an_exchange_sends_each_part_over_its_link() -> None:
    network = Network(cores=2, inside=Link(1.0, 10.0), between=Link(2.0, 5.0), call=0.5, adding=((1.0, 0.0),))
    assert network.all_to_all(120, 1) == 0.0
    assert network.all_to_all(120, 2) == 0.5 + (1 + 60 / 10)
    # 40 bytes to each: one rank of the node, and four of others, over the link that both ranks of the node share.
    assert network.all_to_all(240, 6) == 0.5 + (1 + 40 / 10) + 4 * (2 + 2 * 40 / 5)


# Sizes and rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ansatz", "is_complex", "stacked"),
    [
        ({"kind": "rbm", "alpha": 2}, True, False),
        ({"kind": "rbm", "alpha": 2, "weights": "real"}, False, False),
        (
            {"kind": "feedforward", "widths": [6], "symmetry": "none", "weights": "amplitude_phase"},
            False,
            True,
        ),
    ],
)
def test_sizes_of_an_input(ansatz: dict[str, Any], is_complex: bool, stacked: bool) -> None:
    job = job_of(ring({"samples": 640}) | {"ansatz": ansatz})
    sizes = Sizes.of(job.ansatz, job.sampler, uniform_penalty=True)
    assert (sizes.is_complex, sizes.stacked, sizes.uniform_penalty) == (is_complex, stacked, True)
    assert (sizes.n_parameters, sizes.n_samples, sizes.n_blocks) == (job.ansatz.n_parameters, 640, 4)
    assert [sizes.share(ranks) for ranks in (1, 2, 3, 4)] == [640, 320, 320, 160]
    assert sizes.chunk == 160, "all ten draws of a block"


def test_rates_are_operations_and_bytes_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_a_second(work: Callable[[], object]) -> float:
        work()
        return 0.5

    monkeypatch.setattr(rates, "_fastest", half_a_second)
    assert measure_rates() == Rates(2 * (2 * 320**3), 2 * (8 * 320**3), 2 * 64 * 2**20, CLUSTER)
