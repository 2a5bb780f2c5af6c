"""Loading a block by its name, with an error that says which block is wrong, and never what is in it."""

from typing import TypeVar

from prefect.blocks.core import Block
from pydantic import ValidationError

from edgelift.errors import ConfigurationError
from edgelift.explain import explain

AnyBlock = TypeVar("AnyBlock", bound=Block)


def load_block(kind: type[AnyBlock], name: str) -> AnyBlock:
    """The block `name` of one kind; raises `ConfigurationError` where there is none, or where its fields do not fit."""
    slug = f"{kind.get_block_type_slug()}/{name}"
    try:
        return kind.load(name)
    except ValueError:
        raise ConfigurationError(
            f"Prefect has no block {slug}",
            hint="make it in Prefect's UI under Blocks, or with python -m deployments.register_blocks",
        ) from None
    except RuntimeError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        raise ConfigurationError(
            f"the block {slug} cannot be used: {explain(error.__cause__)}", hint="mend it in Prefect's UI under Blocks"
        ) from None
