"""``python -m pvmc``: the same as the command ``pvmc``."""

import sys

from pvmc.cli import main

sys.exit(main())
