"""Find public functions, classes, methods and constants that nothing outside the tests uses.

    python -m scripts.lint.unused

Prints ``path:line name`` for each and exits with 1 when there is any. Only the syntax is read; no
module is imported.

A name at the top of a module is followed through imports and re-exports, so ``load`` of one module
is not taken for ``load`` of another. A class method or static method counts as used where it is
read from its class, from a class that inherits it, or from ``cls`` or ``self``. Any other method
counts as used where an attribute of that name is read from any object of ours: a method that is
called ``get`` is therefore never found. Fields of classes and members of enums are not looked at.

What a framework calls counts as used: what stands under a decorator that is not in
``PLAIN_DECORATORS`` (routes, validators, event listeners), and what ``EXCEPTIONS`` lists.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

PACKAGES = (
    "atelier_admin", "serve_app", "deployments", "models", "billing", "db", "metrics",
    "atelier_client",
)  # fmt: skip
CALLERS = (*PACKAGES, "scripts", "benchmarks")  # whose uses count; the tests' do not

# ``function`` or ``Class.method`` (``*`` for any class), and why it stays.
EXCEPTIONS = {
    "*.set_timesteps": "diffusers' pipelines call it on their scheduler",
    "CancelableSend.send_packed_command": "redis-py sends every command with it",
    "add_parser": "atelier_admin.main calls it on each of its commands",
    "AsyncClient": "programs of others import it",
    "GpuManager.record_routing_stats": "Ray Serve asks each replica for it",
    "ManagerRouter.*": "Ray Serve calls its router",
    "verify_webhook": "programs of others import it",
    "ZipResponse.stream_response": "Starlette calls it",
}

PLAIN_DECORATORS = {
    "abstractmethod", "asynccontextmanager", "cache", "cached_property", "classmethod",
    "contextmanager", "dataclass", "final", "lru_cache", "no_grad", "overload", "override",
    "property", "runtime_checkable", "setter", "staticmethod", "total_ordering",
}  # fmt: skip
CONFIGURATION = {".yaml", ".toml", ".ini", ".mako", ".sh"}
ENTRY = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+(?::\w+)?")  # package.module:Class

Function = ast.FunctionDef | ast.AsyncFunctionDef
Place = tuple[Path, int]  # a file and a line in it


@dataclass(frozen=True)
class Definition:
    """Something public that a module defines: ``function`` or ``Class.method``."""

    name: str
    path: Path
    node: ast.stmt

    @property
    def on_class(self) -> bool:
        return bool(_decorators(self.node) & {"classmethod", "staticmethod"})

    def outside(self, places: Iterable[Place]) -> bool:
        """Whether one of the places is not in the definition itself."""
        first, last = self.node.lineno, self.node.end_lineno or 0
        return any(path != self.path or not first <= line <= last for path, line in places)


@dataclass
class Module:
    """A file: what it imports (local name to dotted name), and the statements that define."""

    name: str
    path: Path
    tree: ast.Module
    imports: dict[str, str] = field(default_factory=dict)
    defines: dict[str, ast.stmt] = field(default_factory=dict)


class Uses:
    """Where names are read, over all modules."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = {module.name: module for module in modules}
        self.top: dict[str, list[Place]] = defaultdict(list)  # by module.name
        self.of_class: dict[str, list[Place]] = defaultdict(list)  # by module.Class.attribute
        self.of_object: dict[str, list[Place]] = defaultdict(list)  # by attribute
        self.of_self: dict[str, list[Place]] = defaultdict(list)  # likewise, from cls or self
        self.of_any: dict[str, list[Place]] = defaultdict(list)  # by getattr, maybe from a module
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                self._read(module, node)

    def of(self, module: Module, definition: Definition) -> list[Place]:
        """The places that may mean ``definition``."""
        owner, _, method = definition.name.partition(".")
        if not method:
            return self.top[f"{module.name}.{definition.name}"] + self.of_any[definition.name]
        read = [
            place
            for heir in self._heirs(f"{module.name}.{owner}")
            for place in self.of_class[f"{heir}.{method}"]
        ]
        return read + self.of_self[method] + ([] if definition.on_class else self.of_object[method])

    def dotted(self, name: str, place: Place) -> None:
        """Note that ``package.module.name.attribute`` is read; what is not ours is left out."""
        parts = name.split(".")
        known = [n for n in range(1, len(parts)) if ".".join(parts[:n]) in self.modules]
        if not known:
            return
        module = self.modules[".".join(parts[: known[-1]])]
        first, *rest = parts[known[-1] :]
        if first in module.imports and first not in module.defines:
            source = module.imports[first]
            if source != f"{module.name}.{first}":
                self.dotted(".".join([source, *rest]), place)
            return
        self.top[f"{module.name}.{first}"].append(place)
        if rest and isinstance(module.defines.get(first), ast.ClassDef):
            self.of_class[f"{module.name}.{first}.{rest[0]}"].append(place)
        for attribute in rest:
            self.of_object[attribute].append(place)

    def _read(self, module: Module, node: ast.AST) -> None:
        place = (module.path, getattr(node, "lineno", 0))
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                self.dotted(module.imports.get(name, f"{module.name}.{name}"), place)
            case ast.Attribute(attr=attribute, ctx=ast.Load()):
                first, *rest = _chain(node)
                if first in module.imports:
                    self.dotted(".".join([module.imports[first], *rest]), place)
                elif first in module.defines:
                    self.dotted(".".join([module.name, first, *rest]), place)
                else:
                    self.of_object[attribute].append(place)
                    if first in ("cls", "self", "super()", "type()"):
                        self.of_self[attribute].append(place)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
                self.of_object[name].append(place)
                self.of_any[name].append(place)
            case ast.Constant(value=str(text)) if ENTRY.fullmatch(text):
                self.dotted(text.replace(":", "."), place)

    def _heirs(self, name: str) -> Iterator[str]:
        """The class and those that inherit from it, by dotted name."""
        yield name
        for module in self.modules.values():
            for local, node in module.defines.items():
                for base in node.bases if isinstance(node, ast.ClassDef) else ():
                    inner = base.value if isinstance(base, ast.Subscript) else base
                    first, *rest = _chain(inner)
                    source = module.imports.get(first, f"{module.name}.{first}")
                    if ".".join([source, *rest]) == name:
                        yield from self._heirs(f"{module.name}.{local}")


def unused(root: Path, callers: Iterable[str] = CALLERS) -> list[Definition]:
    """The public definitions of ``PACKAGES`` under ``root`` that nothing in ``callers`` uses."""
    modules = [module for caller in callers for module in _modules(root, caller)]
    uses = Uses(modules)
    for path in _configuration(root, callers):
        for entry in ENTRY.findall(path.read_text(encoding="utf-8")):
            uses.dotted(entry.replace(":", "."), (path, 0))
    return [
        definition
        for module in modules
        for definition in _definitions(module)
        if not definition.outside(uses.of(module, definition))
    ]


def main(arguments: list[str]) -> int:
    root = Path(arguments[0] if arguments else ".").resolve()
    found = unused(root)
    excepted = {d.name: [e for e in EXCEPTIONS if fnmatchcase(d.name, e)] for d in found}
    rest = [definition for definition in found if not excepted[definition.name]]
    for definition in rest:
        print(f"{definition.path.relative_to(root)}:{definition.node.lineno} {definition.name}")
    stale = sorted(set(EXCEPTIONS) - {name for names in excepted.values() for name in names})
    for name in stale:
        print(f"{Path(__file__).name}: nothing needs the exception {name}")
    return 1 if rest or stale else 0


def _modules(root: Path, package: str) -> Iterator[Module]:
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        module = Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    module.imports[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom) and not node.level:  # none is relative
                for alias in node.names:
                    module.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for statement in module.tree.body:
            module.defines |= dict.fromkeys(_names(statement), statement)
        yield module


def _configuration(root: Path, callers: Iterable[str]) -> Iterator[Path]:
    folders = [path for caller in callers for path in (root / caller).rglob("*")]
    for path in [*root.iterdir(), *folders]:
        if path.suffix in CONFIGURATION and path.is_file():
            yield path


def _definitions(module: Module) -> Iterator[Definition]:
    package = module.name.partition(".")[0]
    if package not in PACKAGES or not module.path.stem.isidentifier():  # a migration: 0001_...
        return
    for name, node in module.defines.items():
        if name.startswith("_") or _registered(node):
            continue
        yield Definition(name, module.path, node)
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if not isinstance(method, Function) or method.name.startswith("_"):
                continue
            if not _registered(method):
                yield Definition(f"{name}.{method.name}", module.path, method)


def _names(statement: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            found = [node for target in targets for node in ast.walk(target)]
        case ast.AnnAssign(target=target):
            found = [target]
        case ast.If(body=body) | ast.Try(body=body):
            return [name for inner in body for name in _names(inner)]
        case _:
            return []
    return [node.id for node in found if isinstance(node, ast.Name)]


def _chain(node: ast.expr) -> list[str]:
    """``a.b.c`` as its parts; what is no name at the front is ``""`` or ``called()``."""
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return [f"{node.func.id}()"]
    return [""]


def _decorators(node: ast.stmt) -> set[str]:
    """The last part of the name of each decorator."""
    called = [d.func if isinstance(d, ast.Call) else d for d in getattr(node, "decorator_list", ())]
    return {_chain(decorator)[-1] for decorator in called}


def _registered(node: ast.stmt) -> bool:
    """Whether a decorator hands it to a framework."""
    return not _decorators(node) <= PLAIN_DECORATORS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
