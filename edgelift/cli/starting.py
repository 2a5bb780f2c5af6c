"""Starting: what Python and pydantic do while modules are loaded, for nothing, and a fifth of the start of a command.

That is looking for garbage after every 700 objects, and reading what every installed package says of itself in search
of plugins for pydantic.
"""

import gc
import os

gc.set_threshold(50_000)  # objects
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
