"""Graphs: edges from lists and files, couplings, and the symmetries that the user gives."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from pvmc.config import RawInput, Section, to_toml, validate
from pvmc.errors import InputError
from pvmc.lattice import Lattice, LatticeError, LatticeSpec, chain, describe, graph, read_edges
from pvmc.vmc.job import load_lattice

RING = [(i, (i + 1) % 6, 1.0 if i % 2 == 0 else 0.5) for i in range(6)]
"""Six sites, strong and weak bonds in turn."""

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "lattices").glob("*.toml"))


class Job(Section):
    lattice: LatticeSpec
    """The lattice."""


def read(**keys: object) -> Job:
    return validate(Job, RawInput({"lattice": {"kind": "graph", **keys}}, "job.toml"))


def build(**keys: object) -> Lattice:
    return read(**keys).lattice.build()


def test_bonds_are_sorted_with_their_couplings() -> None:
    lattice = graph([(3, 1, 2.0), (0, 3, -1.5), (1, 0, 0.25)])
    np.testing.assert_array_equal(lattice.bonds(), [[0, 1], [0, 3], [1, 3]])
    np.testing.assert_array_equal(lattice.couplings(), [0.25, -1.5, 2.0])
    assert lattice.n_sites == 4  # site 2 stands alone
    assert lattice.couplings().dtype == np.float64
    assert lattice.displacements().shape == (3, 0)
    np.testing.assert_array_equal(lattice.momenta(), np.zeros((1, 0)))


def test_a_ring_as_a_graph_has_the_bonds_of_a_ring() -> None:
    lattice = graph([(i, j, 1.0) for i, j in chain(8).bonds().tolist()])
    np.testing.assert_array_equal(lattice.bonds(), chain(8).bonds())
    np.testing.assert_array_equal(lattice.sublattices(), chain(8).sublattices())


def test_symmetries_are_closed_to_a_group() -> None:
    turn, mirror = [2, 3, 4, 5, 0, 1], [1, 0, 5, 4, 3, 2]
    assert len(graph(RING, symmetries=[turn]).group("space")) == 3
    group = graph(RING, symmetries=[turn, mirror]).group("space")
    assert len(group) == 6
    np.testing.assert_array_equal(group[0], range(6))


def test_symmetries_must_keep_couplings() -> None:
    """A sixth of a turn maps bonds to bonds, but strong ones to weak ones."""
    sixth = [1, 2, 3, 4, 5, 0]
    assert len(graph([(i, j, 1.0) for i, j, _ in RING], symmetries=[sixth]).group("space")) == 6
    with pytest.raises(LatticeError, match="entry 0 does not map edges to edges of the same coupling"):
        graph(RING, symmetries=[sixth])
    with pytest.raises(LatticeError, match="entry 1 is not a permutation of 0 to 5"):
        graph(RING, symmetries=[[2, 3, 4, 5, 0, 1], [0, 0, 1, 2, 3, 4]])
    lattice = graph(RING)
    with pytest.raises(ValueError, match="wrong"):
        Lattice(lattice.positions, lattice.shells, {"wrong": np.array([sixth])}, weights=lattice.weights)


def test_without_symmetries_there_is_no_group() -> None:
    assert len(graph(RING).group("none")) == 1
    with pytest.raises(LatticeError, match='symmetry group "space": this lattice has "none"'):
        graph(RING).group("space")


@pytest.mark.parametrize(
    ("edges", "n_sites", "problem"),
    [
        ([(0, 0, 1.0), (0, 1, 1.0)], None, "two different sites"),
        ([(0, 1, 1.0), (1, 0, 0.5)], None, r"edge \[1, 0\] stands twice"),
        ([(0, 4, 1.0)], 4, r"edge \[0, 4\]: sites are 0 to 3"),
        ([(-1, 2, 1.0)], None, "sites are 0 to 2"),
        ([], None, "a graph without edges needs lattice.sites"),
        ([], 1, "2 to 4096 sites, not 1"),
    ],
)
def test_wrong_edges(edges: list[tuple[int, int, float]], n_sites: int | None, problem: str) -> None:
    with pytest.raises(LatticeError, match=problem):
        graph(edges, n_sites)


def test_edges_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "edges.txt"
    path.write_text("# i j J\n0 1\n\n1 2 -0.5  # weak\n2,3,1e-1\n", encoding="utf-8")
    assert read_edges(path) == [(0, 1, 1.0), (1, 2, -0.5), (2, 3, 0.1)]
    job = read(edges=str(path))
    np.testing.assert_array_equal(job.lattice.build().couplings(), [1.0, -0.5, 0.1])
    path.unlink()  # the resolved input holds the edges themselves
    again = validate(Job, RawInput(tomllib.loads(to_toml(job)), "again.toml"))
    assert again == job
    np.testing.assert_array_equal(again.lattice.build().couplings(), [1.0, -0.5, 0.1])


@pytest.mark.parametrize("line", ["0", "0 1 2 3", "0 x", "0 1.5", "0 1 nan", "0 1 inf"])
def test_wrong_lines_are_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.txt"
    path.write_text(f"0 1\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2"):
        build(edges=str(path))


def test_section_with_every_key() -> None:
    lattice = build(edges=[[0, 1], [1, 2, 0.5], [2, 0]], sites=4, positions=[[0, 0], [1.0, 0], [0, 1], [2, 2]])
    assert lattice.n_sites == 4
    np.testing.assert_array_equal(lattice.couplings(), [1.0, 1.0, 0.5])
    np.testing.assert_array_equal(lattice.positions[3], [2.0, 2.0])
    np.testing.assert_array_equal(lattice.displacements(), [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    assert "couplings 0.5 to 1" in describe(lattice)
    assert len(build(edges=[[0, 1], [1, 2]], symmetries=[[2, 1, 0]]).group("space")) == 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"edges": [[0, 1], [1, 1.5]]}, "lattice.edges = [[0, 1], [1, 1.5]]: entry 1 is [1, 1.5]: sites are integers"),
        ({"edges": [[0, True]]}, "lattice.edges = [[0, true]]: entry 0"),
        ({"edges": [[0, 1, "a"]]}, 'lattice.edges = [[0, 1, "a"]]: entry 0'),
        ({"edges": [0, 1]}, "lattice.edges = [0, 1]: entry 0 is 0"),
        ({"edges": 3}, "lattice.edges = 3: must be a list of [i, j]"),
        ({"edges": "/nowhere/edges.txt"}, 'lattice.edges = "/nowhere/edges.txt": cannot be read'),
        ({}, "lattice.edges: missing; must be a list of [i, j]"),
        ({"edges": [[0, 1]], "symmetries": [[0, "a"]]}, "lattice.symmetries"),
    ],
)
def test_wrong_values_name_their_key(keys: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(**keys)
    assert str(caught.value).startswith("job.toml: " + message)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"edges": [[0, 1], [1, 0]]}, "lattice.edges"),
        ({"edges": [[0, 5]], "sites": 3}, "lattice.edges"),
        ({"edges": [[0, 1]], "positions": [[0, 0]]}, "lattice.positions"),
        ({"edges": [[0, 1]], "symmetries": [[0, 0]]}, "lattice.symmetries"),
    ],
)
def test_graphs_that_do_not_exist_name_their_key(keys: dict[str, object], key: str) -> None:
    with pytest.raises(ValueError, match="=") as caught:
        build(**keys)
    assert caught.value.key == key  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_of_the_documentation(path: Path) -> None:
    lattice = load_lattice(path)
    assert lattice.n_sites >= 7
    assert len(lattice.group("space")) > 1


def test_there_are_examples() -> None:
    kinds = {tomllib.loads(path.read_text(encoding="utf-8"))["lattice"]["kind"] for path in EXAMPLES}
    assert kinds == {"chain", "ladder", "rectangle", "triangular", "honeycomb", "kagome", "cubic", "graph"}
