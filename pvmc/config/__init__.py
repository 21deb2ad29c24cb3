"""Reading and checking input: TOML text to frozen, validated sections, and one clear line for what is wrong.

The sections themselves live with the nouns that they describe (``pvmc.lattice.ChainSpec``, ...); the whole
input is :class:`pvmc.job.JobConfig`.
"""

from pvmc.config.reading import RawInput, overridden, read_input, validate
from pvmc.config.section import LARGEST_SHOWN, InWords, KeyProblem, Section, inside_key, meaning, ordered_fields, shown
from pvmc.config.words import allowed_values, section_classes
from pvmc.config.writing import to_toml

__all__ = [
    "LARGEST_SHOWN",
    "InWords",
    "KeyProblem",
    "RawInput",
    "Section",
    "allowed_values",
    "inside_key",
    "meaning",
    "ordered_fields",
    "overridden",
    "read_input",
    "section_classes",
    "shown",
    "to_toml",
    "validate",
]
