"""What the config sections of all wave functions share."""

from __future__ import annotations

from pvmc.config import KeyProblem, Section


class AnsatzSection(Section):
    """Base of the sections that describe a wave function."""

    start_from: str | None = None
    """Run or fit whose last saved parameters are the first ones here; default: random parameters"""


def refuse_start(section: AnsatzSection, key: str) -> None:
    """Refuse ``start_from`` in a wave function within another, whose parameters are those of the whole.

    Raises:
        KeyProblem: it is given.
    """
    if section.start_from is not None:
        raise KeyProblem(
            f"{key}.start_from", section.start_from, "belongs into [ansatz]; parts have no start of their own"
        )
