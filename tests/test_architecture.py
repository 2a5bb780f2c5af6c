"""What may import what, where each library comes in, and what no file may do: read from the sources, rule by rule."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "tasks", "blocks", "edgelift", "deployments")
LONGEST_FILE = 300  # lines

# Each package, and what it must not import. Only the command line reaches back, and only inside the commands that run
# a flow, so that every other command starts without Prefect.
BACKWARDS = {
    "tasks": {"flows", "deployments"},
    "blocks": {"flows", "tasks", "deployments"},
    "edgelift": {"flows", "tasks", "blocks", "deployments", "prefect"},
}
REACHES_BACK_INSIDE_FUNCTIONS = ("edgelift.cli",)

S3_DOORS = (
    "edgelift.s3",
    "edgelift.archive.s3",
    "edgelift.archive.s3_upload",
    "edgelift.store.s3",
    "edgelift.oci.auth_ecr",
)
# Each library, and the modules (with all below them) that are its only way in.
DOORS = {
    "boto3": (
        "edgelift.s3",
        "edgelift.archive.s3",
        "edgelift.archive.s3_upload",
        "edgelift.store.s3",
        "edgelift.oci.auth_ecr",
    ),
    "botocore": (
        "edgelift.s3",
        "edgelift.archive.s3",
        "edgelift.archive.s3_upload",
        "edgelift.store.s3",
        "edgelift.oci.auth_ecr",
    ),
    # Two doors, so that a key of images can never count for a bundle: bundles are signed by RSA alone, and by others.
    "cryptography": ("edgelift.bundle.signature", "edgelift.cosign_key"),
    "cronsim": ("edgelift.cron",),
    "h11": ("edgelift.serve.connection",),
    "oras": ("edgelift.oci.artifact",),
    "requests": (),
    "rich": ("edgelift.cli",),
    "starlette": ("edgelift.serve", "edgelift.demo"),
    "typer": ("edgelift.cli",),
    "urllib3": ("edgelift.transport",),
    "uvicorn": ("edgelift.serve", "edgelift.demo"),
    "xxhash": ("edgelift.bundle.seekable", "edgelift.store.partial"),
    "zstandard": ("edgelift.bundle.seekable",),
}

# Each package of the library, and the only others of the library that it may import.
SIBLINGS = {
    "edgelift.oci": {
        *("edgelift.oci", "edgelift.errors", "edgelift.transport", "edgelift.addresses", "edgelift.stopping"),
    },
    "edgelift.charts": {"edgelift.charts", "edgelift.oci", "edgelift.errors", "edgelift.transport"},
}

REPORT = (
    *("axis", "fleet_sections", "markup", "model", "page", "plan_page", "sections", "style", "summary_page", "tables"),
    *("throughput", "timeline", "wording"),
)

# Modules that only decide: values in, values out.
PURE = (
    "edgelift.attachments",
    "edgelift.bundle.annotations",
    "edgelift.bundle.cluster_definition",
    "edgelift.bundle.definition",
    "edgelift.bundle.lock",
    "edgelift.bundle.kinds",
    "edgelift.bundle.moves",
    "edgelift.charts.artifact",
    "edgelift.charts.index",
    "edgelift.charts.index_sections",
    "edgelift.charts.metadata",
    "edgelift.charts.repository",
    "edgelift.charts.versions",
    "edgelift.content_source",
    "edgelift.cron",
    "edgelift.forms",
    "edgelift.bundle.referrer",
    "edgelift.bundle.selection",
    "edgelift.delivery.drift",
    "edgelift.errors",
    *(f"edgelift.fleet.{name}" for name in ("rollout", "sharing", "summary")),
    "edgelift.image_list",
    "edgelift.oci.descriptor",
    "edgelift.oci.digest",
    "edgelift.oci.manifest",
    "edgelift.oci.reference",
    "edgelift.oci.referrer_tags",
    "edgelift.packs.names",
    *(f"edgelift.report.{name}" for name in REPORT),
    "edgelift.palette.cluster_definition",
    "edgelift.palette.images",
    "edgelift.palette.macros",
    "edgelift.palette.pack_registries",
    *(
        f"edgelift.palette.undeclared.{name}"
        for name in ("choice", "compose", "manifests", "references", "rendering", "report", "scan", "tags")
    ),
    "edgelift.palette.undeclared.template",
    "edgelift.palette.undeclared.tree",
    "edgelift.result_document",
    "edgelift.site",
    "edgelift.sizes",
    "edgelift.site_mistakes",
    "edgelift.timetable",
)
OUTSIDE_WORLD = {
    *("asyncio", "http", "httpx", "os", "pathlib", "random", "shutil", "socket", "ssl", "subprocess", "tempfile"),
    *("threading", "time", "urllib.request"),
}

# Where the environment is read; everything else takes arguments.
READS_ENVIRONMENT = ("edgelift.access", "edgelift.keys", "edgelift.cli")

# What the commands that move nothing must not wait for.
SLOW_TO_LOAD = {"boto3", "botocore", "jsonschema", "oras", "prefect", "requests", "starlette", "uvicorn"}


@dataclass(frozen=True)
class Import:
    """One name that a module imports, spelled out; `deferred` where it happens inside a function."""

    name: str
    deferred: bool = False

    def is_from(self, package: str) -> bool:
        """Whether it comes from `package` or from below it."""
        return is_below(self.name, package)


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path

    @property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return parse(self.path)

    @property
    def imports(self) -> tuple[Import, ...]:
        """All that it imports, except what only type checkers see."""
        return imports_in(self)

    def is_below(self, *packages: str) -> bool:
        """Whether it is one of `packages` or lies in one."""
        return any(is_below(self.name, package) for package in packages)


def is_below(name: str, package: str) -> bool:
    """Whether the dotted `name` is `package` or begins with it."""
    return name == package or name.startswith(f"{package}.")


@cache
def parse(path: Path) -> ast.Module:
    """The syntax of the file at `path`."""
    return ast.parse(path.read_text(), str(path))


@cache
def imports_in(module: Module) -> tuple[Import, ...]:
    """All that `module` imports: found once for all the rules."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    return tuple(imports_of(module.tree, package))


def imports_of(node: ast.AST, package: str, *, deferred: bool = False) -> Iterator[Import]:
    """Everything imported below `node`, in a module of `package`; `from a import b` counts as `a.b`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from imports_of(ast.Module(child.orelse, []), package, deferred=deferred)
        elif isinstance(child, ast.Import):
            yield from (Import(alias.name, deferred) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            source = ".".join([*above, *filter(None, [child.module])])
            yield from (Import(f"{source}.{alias.name}", deferred) for alias in child.names)
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(child, package, deferred=deferred or is_function)


@cache
def modules() -> tuple[Module, ...]:
    """Every source file of the packages."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(Module(dotted(path.relative_to(ROOT)), path) for path in paths)


def dotted(path: Path) -> str:
    """The name under which the file at the relative `path` is imported."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def calls(tree: ast.AST) -> Iterator[str]:
    """The names of the functions and methods that are called: `print`, `extractall`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)


IMPORT_FORMS = {
    "plain": ("import a.b", [Import("a.b")]),
    "several": ("import a, b as c", [Import("a"), Import("b")]),
    "from": ("from a.b import c, d as e", [Import("a.b.c"), Import("a.b.d")]),
    "from here": ("from . import c\nfrom .d import e", [Import("p.q.c"), Import("p.q.d.e")]),
    "from above": ("from ..f import g", [Import("p.f.g")]),
    "in a function": ("def f():\n  import a", [Import("a", deferred=True)]),
    "in a method": ("class A:\n async def f(self):\n  if 1:\n   from a import b", [Import("a.b", deferred=True)]),
    "in a try": ("try:\n  import a\nexcept ImportError:\n  import b", [Import("a"), Import("b")]),
    "for type checkers": ("if TYPE_CHECKING:\n  import a\nelse:\n  import b", [Import("b")]),
}


@pytest.mark.parametrize(("source", "found"), IMPORT_FORMS.values(), ids=IMPORT_FORMS)
def test_imports_are_found_in_every_form(source: str, found: list[Import]) -> None:
    """The rules below see an import however it is written."""
    assert found == list(imports_of(ast.parse(source), "p.q"))


def test_every_package_is_looked_at() -> None:
    """A renamed folder does not make the rules true of nothing."""
    assert {module.name.partition(".")[0] for module in modules()} == set(PACKAGES)


@pytest.mark.parametrize("package", BACKWARDS)
def test_imports_go_one_way(package: str) -> None:
    """Flows → tasks → blocks → edgelift, never back; the library does not know Prefect."""
    wrong = [
        f"{module.name} imports {each.name}"
        for module in modules()
        if module.is_below(package)
        for each in module.imports
        if each.name.partition(".")[0] in BACKWARDS[package]
        and not (each.deferred and module.is_below(*REACHES_BACK_INSIDE_FUNCTIONS))
    ]

    assert wrong == []


@pytest.mark.parametrize("library", DOORS)
def test_a_library_comes_in_by_its_own_door(library: str) -> None:
    """What a library does can be replaced, or made safe, in one place."""
    wrong = [
        f"{module.name} imports {each.name}"
        for module in modules()
        if not module.is_below(*DOORS[library])
        for each in module.imports
        if each.is_from(library)
    ]

    assert wrong == []


@pytest.mark.parametrize("package", SIBLINGS)
def test_a_lower_package_does_not_know_its_siblings(package: str) -> None:
    """The registry client, and what finds charts with it, can be read, tested and used without the rest."""
    wrong = [
        f"{module.name} imports {each.name}"
        for module in modules()
        if module.is_below(package)
        for each in module.imports
        if each.is_from("edgelift") and not any(each.is_from(allowed) for allowed in SIBLINGS[package])
    ]

    assert wrong == []


@pytest.mark.parametrize("name", PURE)
def test_a_module_that_decides_does_no_io(name: str) -> None:
    """Decisions are tested with tables: no file, no socket, no clock, no chance."""
    (module,) = [module for module in modules() if module.name == name]

    reached = [each.name for each in module.imports if any(each.is_from(outside) for outside in OUTSIDE_WORLD)]

    assert (reached, "open" in set(calls(module.tree))) == ([], False)


def test_the_environment_is_read_at_the_edge() -> None:
    """The library takes arguments; only its edge looks at the surroundings."""
    wrong = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.is_below("edgelift") and not module.is_below(*READS_ENVIRONMENT)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in {"os.environ", "os.getenv", "environ"}
    ]

    assert wrong == []


def test_no_archive_is_ever_extracted() -> None:
    """Members are read one by one, their names judged; `extract` and `extractall` have a long list of holes."""
    wrong = [
        module.name for module in modules() if {"extract", "extractall", "unpack_archive"} & set(calls(module.tree))
    ]

    assert wrong == []


def test_files_stay_readable() -> None:
    """No file is longer than 300 lines."""
    lengths = {module.name: len(module.path.read_text().splitlines()) for module in modules()}

    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_folder_of_sources_is_a_package() -> None:
    """A folder without `__init__.py` imports here, and not where it is installed."""
    folders = {path.parent for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")}

    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_deployments_name_flows_by_module() -> None:
    """Each entry point is `package.module.function`, and the function is there: no path, no current directory."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert deployments

    for entrypoint in (deployment["entrypoint"] for deployment in deployments):
        module, _, function = entrypoint.rpartition(".")
        spec = importlib.util.find_spec(module)
        assert spec is not None, entrypoint
        assert spec.origin is not None, entrypoint
        defined = [node.name for node in parse(Path(spec.origin)).body if isinstance(node, ast.FunctionDef)]
        assert function in defined, entrypoint


def test_the_command_line_starts_light() -> None:
    """What only some commands need is loaded by them, not by `edgelift --help`."""
    script = "import sys, edgelift.cli.app; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert SLOW_TO_LOAD & set(run.stdout.split()) == set()
