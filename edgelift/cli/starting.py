"""Starting: what Python and pydantic do while modules are loaded, for nothing, and a fifth of the start of a command.

That is looking for garbage after every 700 objects, and reading what every installed package says of itself in search
of plugins for pydantic.
"""

import gc
import os

_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"

gc.set_threshold(50_000)  # objects
_is_ours = _PLUGINS not in os.environ
os.environ.setdefault(_PLUGINS, "1")


def allow_plugins() -> None:
    """Have the user's plugins for pydantic found again: a server that is started, and its children, may want them."""
    if _is_ours:
        os.environ.pop(_PLUGINS, None)
