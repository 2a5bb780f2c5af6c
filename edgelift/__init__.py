"""edgelift: from Palette cluster profiles to a validated site registry. This package never imports Prefect."""

import sys

# httpx loads a command line of its own wherever click and rich are installed, which takes a tenth of a second.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: there is no such module
