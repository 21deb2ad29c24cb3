"""Results files of tests: attributes of a run that none has made."""

from __future__ import annotations

from pvmc.io import provenance, schema


def run_attributes(**changes: str | int) -> dict[str, str | int]:
    """All attributes that a writer of results asks for: of this machine, empty or 0, or as given."""
    filled_in = {"schema_version", "created"}
    blank = {item.name: item.type() for item in schema.ROOT_ATTRIBUTES if item.name not in filled_in}
    return {**blank, **provenance.collect(), "energy_units": "J", **changes}
