"""Reading and checking input: TOML text to frozen, validated sections, and one clear line for each thing that is wrong.

The sections themselves live with the nouns that they describe (``pvmc.lattice.ChainSpec``, ...); the whole
input is :class:`pvmc.vmc.job.JobConfig`.
"""

from pvmc.config.reading import Problems, RawInput, overridden, read_input, sections_of, validate
from pvmc.config.section import (
    LARGEST_SHOWN,
    InWords,
    KeyProblem,
    KeyProblems,
    Section,
    check_all,
    inside_key,
    meaning,
    ordered_fields,
    raise_all,
    shown,
)
from pvmc.config.words import allowed_values, section_classes
from pvmc.config.writing import edited, stored_input, stored_tables, to_toml, toml_value

__all__ = [
    "LARGEST_SHOWN",
    "InWords",
    "KeyProblem",
    "KeyProblems",
    "Problems",
    "RawInput",
    "Section",
    "allowed_values",
    "check_all",
    "edited",
    "inside_key",
    "meaning",
    "ordered_fields",
    "overridden",
    "raise_all",
    "read_input",
    "section_classes",
    "sections_of",
    "shown",
    "stored_input",
    "stored_tables",
    "to_toml",
    "toml_value",
    "validate",
]
