"""What the study of the optimiser compares: systems, and variants of their inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "study"


@dataclass(frozen=True)
class System:
    """A problem of known energy.

    Attributes:
        title: what it is, in words.
        config: the input file.
        overrides: key -> value, as ``--set`` takes them.
        figure: name of the figure that it is drawn in; empty for none.
    """

    title: str
    config: Path
    overrides: dict[str, str] = field(default_factory=dict)
    figure: str = ""


SOLVER = "sr.solver"
"""Key of the solver of the linear problem."""

SYSTEMS = {
    "heisenberg": System(
        "Heisenberg ring, N = 40, translation-symmetric complex RBM, alpha = 2, 4096 samples",
        CONFIGS / "heisenberg_chain.toml",
        figure="heisenberg",
    ),
    "j1j2": System(
        "J1-J2 model, 6 x 6, J2 = 0.5, translation-symmetric complex RBM, alpha = 4, 4096 samples",
        CONFIGS / "j1j2_square.toml",
        figure="j1j2",
    ),
    "j1j2_plain": System(
        "J1-J2 model, 6 x 6, J2 = 0.5, plain complex RBM, alpha = 2, 1024 samples",
        CONFIGS / "j1j2_square_plain.toml",
        {SOLVER: '"minsr"'},  # S has 1024 eigenvalues besides 0: the kernel of the samples is the smaller matrix
        figure="j1j2",
    ),
}
"""What the study is made of."""

SMOKE = {
    "smoke": System(
        "Heisenberg ring, N = 12",
        CONFIGS / "heisenberg_chain.toml",
        {"lattice.length": "12", "ansatz.alpha": "1", "sampler.walkers": "256", "sampler.samples": "512"},
        figure="smoke",
    )
}
"""A system that converges in seconds, to try the study out."""

SHARED = ("heisenberg", "j1j2", "smoke")
"""Systems with few parameters: S is small; F, a sum over all images, is large, and steps along it have to be short."""

PLAIN = ("j1j2_plain",)
"""Systems whose parameters are not shared."""

GROUPS = {
    "damping": "damping of S",
    "rate": "learning rate",
    "momentum": "momentum",
    "control": "step control",
    "gradient": "without S",
    "sampling": "samples and weights",
}
"""Names of the groups, in words."""

DEFAULT = "default"
"""The variant without overrides of its own, which the others are compared with."""


@dataclass(frozen=True)
class Variant:
    """A way to optimise.

    Attributes:
        name: of its directory.
        label: in tables and figures.
        group: one of GROUPS.
        overrides: key -> value, as ``--set`` takes them.
        systems: the only ones that it is run on; empty for all.
        drawn: whether it is among those in the figures.
    """

    name: str
    label: str
    group: str
    overrides: dict[str, str] = field(hash=False)
    systems: tuple[str, ...] = ()
    drawn: bool = False


def _spring(mu: float, **others: str) -> dict[str, str]:
    return {"sr.momentum": f"{{ mu = {mu} }}"} | {f"sr.{key}": value for key, value in others.items()}


def _additive(floor: str) -> dict[str, str]:
    return {"sr.shift": "0.0", "sr.floor": floor}


def _eigen(cutoff: str) -> dict[str, str]:
    return {"sr.solver": "dense", "sr.factorisation": "eigen", "sr.cutoff": cutoff}


def _gradient(method: str, rate: str) -> dict[str, str]:
    return {"sr.method": method, "sr.learning_rate": rate}


_MARCH = "{ mu = 0.95, march = 0.995 }"
_SLOWER = "{ initial = 0.2, decay = 0.995, minimum = 0.02 }"
_MUCH_SLOWER = "{ initial = 0.4, decay = 0.99, minimum = 0.05 }"

VARIANTS = (
    Variant(DEFAULT, "default", "damping", {}, drawn=True),
    Variant("shift_1e-2", "shift 1e-2", "damping", {"sr.shift": "1e-2"}, drawn=True),
    Variant("shift_1e-3", "shift 1e-3", "damping", {"sr.shift": "1e-3"}, drawn=True),
    Variant("shift_1e-4", "shift 1e-4", "damping", {"sr.shift": "1e-4"}),
    Variant(
        "shift_to_1e-5",
        "shift 100 to 1e-5",
        "damping",
        {"sr.shift": "{ initial = 100.0, decay = 0.9, minimum = 1e-5 }"},
    ),
    Variant(
        "shift_1_to_1e-4",
        "shift 1 to 1e-4",
        "damping",
        {"sr.shift": "{ initial = 1.0, decay = 0.9, minimum = 1e-4 }"},
    ),
    Variant("floor_1e-2", "floor 1e-2", "damping", _additive("1e-2")),
    Variant("floor_1e-3", "floor 1e-3", "damping", _additive("1e-3"), drawn=True),
    Variant("floor_1e-4", "floor 1e-4", "damping", _additive("1e-4")),
    Variant(
        "floor_to_1e-4",
        "floor 1 to 1e-4",
        "damping",
        _additive("{ initial = 1.0, decay = 0.9, minimum = 1e-4 }"),
    ),
    Variant("condition_1e3", "condition 1e3", "damping", {"sr.largest_condition": "1e3"}),
    Variant("condition_1e5", "condition 1e5", "damping", {"sr.largest_condition": "1e5"}),
    Variant("adapt_shift", "adapted shift", "damping", {"sr.adapt_shift": "true", "sr.shift": "1e-2"}, drawn=True),
    Variant("eigen_1e-4", "eigen, cutoff 1e-4", "damping", _eigen("1e-4"), SHARED, drawn=True),
    Variant("eigen_1e-6", "eigen, cutoff 1e-6", "damping", _eigen("1e-6"), SHARED),
    Variant("eigen_snr", "eigen, snr 2", "damping", _eigen("1e-6") | {"sr.snr": "2.0"}, SHARED),
    Variant("rate_0.02", "rate 0.02", "rate", {"sr.learning_rate": "0.02"}),
    Variant("rate_0.05", "rate 0.05", "rate", {"sr.learning_rate": "0.05"}, drawn=True),
    Variant("rate_0.2", "rate 0.2", "rate", {"sr.learning_rate": "0.2"}, drawn=True),
    Variant("rate_0.4", "rate 0.4", "rate", {"sr.learning_rate": "0.4"}),
    Variant("rate_to_0.02", "rate 0.2 to 0.02", "rate", {"sr.learning_rate": _SLOWER}, drawn=True),
    Variant("rate_to_0.05", "rate 0.4 to 0.05", "rate", {"sr.learning_rate": _MUCH_SLOWER}),
    Variant("spring_0.8", "SPRING 0.8", "momentum", _spring(0.8)),
    Variant("spring_0.9", "SPRING 0.9", "momentum", _spring(0.9), drawn=True),
    Variant("spring_0.95", "SPRING 0.95", "momentum", _spring(0.95)),
    Variant("spring_0.99", "SPRING 0.99", "momentum", _spring(0.99), drawn=True),
    Variant("spring_0.99_slow", "SPRING 0.99, rate 0.02", "momentum", _spring(0.99, learning_rate="0.02")),
    Variant("spring_0.9_floor", "SPRING 0.9, floor 1e-3", "momentum", _spring(0.9, shift="0.0", floor="1e-3")),
    Variant(
        "spring_0.95_floor",
        "SPRING 0.95, floor 1e-3",
        "momentum",
        _spring(0.95, shift="0.0", floor="1e-3"),
        drawn=True,
    ),
    Variant("spring_0.99_floor", "SPRING 0.99, floor 1e-3", "momentum", _spring(0.99, shift="0.0", floor="1e-3")),
    Variant("spring_0.95_1e-2", "SPRING 0.95, shift 1e-2", "momentum", _spring(0.95, shift="1e-2")),
    Variant("march", "MARCH 0.95", "momentum", {"sr.momentum": _MARCH}),
    Variant(
        "march_1e-2",
        "MARCH 0.95, shift 1e-2",
        "momentum",
        {"sr.momentum": _MARCH, "sr.shift": "1e-2"},
        drawn=True,
    ),
    Variant("heun", "Heun", "control", {"sr.integrator": '"heun"'}, drawn=True),
    Variant("line_search", "line search", "control", {"sr.line_search": "true"}, drawn=True),
    Variant("angle_0.1", "angle below 0.1", "control", {"sr.largest_angle": "0.1"}),
    Variant("sgd_1e-3", "sgd 1e-3", "gradient", _gradient("sgd", "1e-3"), SHARED),
    Variant("sgd_3e-3", "sgd 3e-3", "gradient", _gradient("sgd", "3e-3"), SHARED, drawn=True),
    Variant("momentum_2e-4", "momentum 2e-4", "gradient", _gradient("momentum", "2e-4"), SHARED),
    Variant("momentum_5e-4", "momentum 5e-4", "gradient", _gradient("momentum", "5e-4"), SHARED, drawn=True),
    Variant("sgd_0.03", "sgd 0.03", "gradient", _gradient("sgd", "0.03"), PLAIN),
    Variant("sgd_0.1", "sgd 0.1", "gradient", _gradient("sgd", "0.1"), PLAIN, drawn=True),
    Variant("momentum_5e-3", "momentum 5e-3", "gradient", _gradient("momentum", "5e-3"), PLAIN),
    Variant("momentum_0.02", "momentum 0.02", "gradient", _gradient("momentum", "0.02"), PLAIN, drawn=True),
    Variant("adam_1e-3", "Adam 1e-3", "gradient", _gradient("adam", "1e-3")),
    Variant("adam_3e-3", "Adam 3e-3", "gradient", _gradient("adam", "3e-3"), drawn=True),
    Variant("adam_1e-2", "Adam 1e-2", "gradient", _gradient("adam", "1e-2")),
    Variant("samples_1024", "1024 samples", "sampling", {"sampler.samples": "1024"}, ("heisenberg", "j1j2")),
    Variant("samples_2048", "2048 samples", "sampling", {"sampler.samples": "2048"}),
    Variant("samples_8192", "8192 samples", "sampling", {"sampler.samples": "8192"}, ("heisenberg", "j1j2")),
    Variant(
        "growth",
        "1024 to 8192 samples",
        "sampling",
        {"sampler.samples": "1024", "sampler.growth": "{ maximum = 8192 }"},
        ("heisenberg", "j1j2"),
        drawn=True,
    ),
    Variant("power_1.5", "power 1.5", "sampling", {"sampler.power": "1.5"}),
    Variant("real", "real weights", "sampling", {"ansatz.weights": '"real"'}, drawn=True),
    Variant(
        "exchange_any",
        "0.2 exchange_any",
        "sampling",
        {"sampler.moves": "{ exchange = 0.8, exchange_any = 0.2 }"},
    ),
)
"""All variants; the default moves are exchanges of neighbours alone."""


def chosen(system: str, pattern: str = "*") -> list[Variant]:
    """The variants of a system whose names match a shell pattern; several patterns are separated by commas."""
    patterns = pattern.split(",")
    return [
        variant
        for variant in VARIANTS
        if (not variant.systems or system in variant.systems) and any(fnmatch(variant.name, one) for one in patterns)
    ]


def settings(system: System, variant: Variant) -> list[str]:
    """KEY=VALUE of the system and the variant, as ``--set`` takes them; a method without S has no solver."""
    overrides = system.overrides | variant.overrides
    if "sr.method" in overrides:
        overrides.pop(SOLVER, None)
    return [f"{key}={value}" for key, value in overrides.items()]
