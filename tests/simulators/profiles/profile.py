"""What a profile is: one kind of registry, told apart from the one that keeps to the specification."""

from pathlib import Path

from starlette.types import ASGIApp

from edgelift.serve.directory import DirectoryContent


class BlobHomes(DirectoryContent):
    """Content whose repositories are there from their first blob on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.folder = root / "repositories"

    def repositories(self) -> list[str]:
        """All repositories with a blob."""
        return sorted(str(links.parent.relative_to(self.folder)) for links in self.folder.rglob("_blobs"))


class Profile:
    """The registry as it should be. `redirects_blobs` sends readers of blobs to a storage on another port."""

    redirects_blobs = False

    def content(self, root: Path) -> DirectoryContent:
        """Where the registry keeps what it has."""
        return DirectoryContent(root)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """`app`, which serves `content`, as this kind of registry does it."""
        return app
