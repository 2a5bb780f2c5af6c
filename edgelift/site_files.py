"""Site files as a whole: found in folders, read one by one, held against each other. Every mistake is named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from edgelift.documents import read_text
from edgelift.errors import ConfigurationError, SitesError
from edgelift.explain import Problem, find_problems, find_repeated_keys, problem_at, read_yaml
from edgelift.site import EdgeSite, same_named
from edgelift.site_mistakes import find_mistakes

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class SiteFile:
    """A file, and what it says: a site, or what is wrong with it."""

    path: Path
    site: EdgeSite | None
    problems: tuple[Problem, ...] = ()

    @property
    def complaints(self) -> Iterator[str]:
        """What is wrong, a line each, as compilers write it."""
        for problem in self.problems:
            line = f":{problem.line}" if problem.line is not None else ""
            yield f"{self.path}{line}: {problem.place}: {problem.message}" if problem.place else problem.message


def read_sites(paths: Sequence[Path]) -> list[SiteFile]:
    """The site files at `paths`, files or folders with all below them; no two right ones name one site.

    Raises `ConfigurationError` where a folder holds none.
    """
    files = [_read(path) for path in find_site_files(paths)]
    shared = same_named((file.site.name, file) for file in files if file.site is not None)
    rivals = {file.path: group for group in shared.values() for file in group}
    return [_refuse(file, rivals[file.path]) if file.path in rivals else file for file in files]


def load_sites(paths: Sequence[Path]) -> tuple[EdgeSite, ...]:
    """The sites of the files at `paths`; raises `SitesError` that names all that is wrong with any of them."""
    files = read_sites(paths)
    raise_for_problems(files)
    return tuple(file.site for file in files if file.site is not None)


def find_site_files(paths: Sequence[Path]) -> list[Path]:
    """The files at `paths`, each once; raises `ConfigurationError` where a folder holds no site file."""
    found: dict[Path, None] = {}
    for path in paths:
        below = _files_below(path) if path.is_dir() else [path]
        if not below:
            raise ConfigurationError(f"there is no site file in {path}", hint="site files end in .yaml or .yml")
        found |= dict.fromkeys(below)
    return list(found)


def raise_for_problems(files: Sequence[SiteFile]) -> None:
    """Raises `SitesError` that names all that is wrong with `files`."""
    complaints = [complaint for file in files for complaint in file.complaints]
    if complaints:
        wrong = sum(bool(file.problems) for file in files)
        raise SitesError(f"{wrong} of {len(files)} site files cannot be used", complaints)


def _files_below(folder: Path) -> list[Path]:
    inside = (path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    return sorted(path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _read(path: Path) -> SiteFile:
    try:
        document, root = read_yaml(read_text(path), str(path))
    except ConfigurationError as error:
        return SiteFile(path, None, (Problem("", None, error.message),))
    problems = list(find_repeated_keys(root))
    site = None
    try:
        site = EdgeSite.model_validate(document)
    except ValidationError as error:
        problems += find_problems(error, root)
    problems += [problem_at(steps, message, root) for steps, message in find_mistakes(document)]
    problems.sort(key=lambda problem: problem.line or 0)
    return SiteFile(path, site if not problems else None, tuple(problems))


def _refuse(file: SiteFile, same: Sequence[SiteFile]) -> SiteFile:
    """`file`, which is wrong, as others name the same site: nobody can tell which of them is meant."""
    others = [str(other.path) for other in same if other is not file]
    message = f"{' and '.join(others)} {'names' if len(others) == 1 else 'name'} this site, too"
    _, root = read_yaml(read_text(file.path), str(file.path))
    return replace(file, site=None, problems=(problem_at(("name",), message, root),))
