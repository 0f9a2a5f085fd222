"""Programming languages: which one a file is in, by its name and its first lines, and what begins a definition."""

import re
from pathlib import PurePath
from typing import NamedTuple

PREFIX = "text/x-source-"


class Language(NamedTuple):
    """`suffixes` are ends of file names, `names` whole ones, `commands` what may stand behind #!."""

    name: str
    suffixes: tuple[str, ...]
    names: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


_LANGUAGES = (
    Language("Python", (".py", ".pyi", ".pyw"), ("sconstruct",), ("python", "python2", "python3", "uv")),
    Language("JavaScript", (".js", ".mjs", ".cjs", ".jsx"), (), ("node", "deno", "bun")),
    Language("TypeScript", (".ts", ".mts", ".cts", ".tsx")),
    Language("Vue", (".vue",)),
    Language("Svelte", (".svelte",)),
    Language("Java", (".java",)),
    Language("Kotlin", (".kt", ".kts")),
    Language("Scala", (".scala", ".sc")),
    Language("Groovy", (".groovy", ".gradle"), ("jenkinsfile",), ("groovy",)),
    Language("C", (".c", ".h")),
    Language("C++", (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".ino")),
    Language("C#", (".cs", ".csx")),
    Language("Objective-C", (".m", ".mm")),
    Language("Go", (".go",)),
    Language("Rust", (".rs",)),
    Language("Swift", (".swift",)),
    Language("Dart", (".dart",)),
    Language("Zig", (".zig",)),
    Language("Ruby", (".rb", ".rake", ".gemspec"), ("gemfile", "rakefile"), ("ruby",)),
    Language("PHP", (".php", ".phtml"), (), ("php",)),
    Language("Perl", (".pl", ".pm"), (), ("perl",)),
    Language("Lua", (".lua",), (), ("lua",)),
    Language("R", (".r",), (), ("rscript",)),
    Language("Julia", (".jl",), (), ("julia",)),
    Language("Haskell", (".hs",)),
    Language("OCaml", (".ml", ".mli")),
    Language("F#", (".fs", ".fsx")),
    Language("Elixir", (".ex", ".exs"), (), ("elixir",)),
    Language("Erlang", (".erl", ".hrl")),
    Language("Clojure", (".clj", ".cljs", ".cljc", ".edn")),
    Language("Lisp", (".lisp", ".el", ".scm", ".rkt")),
    Language("Shell", (".sh", ".bash", ".zsh", ".fish", ".ksh"), (), ("sh", "bash", "zsh", "fish", "ksh", "dash")),
    Language("PowerShell", (".ps1", ".psm1")),
    Language("Batch", (".bat", ".cmd")),
    Language("SQL", (".sql",)),
    Language("CSS", (".css", ".scss", ".sass", ".less")),
    Language("YAML", (".yaml", ".yml")),
    Language("TOML", (".toml",)),
    Language("INI", (".ini", ".cfg", ".conf", ".properties", ".env")),
    Language("Terraform", (".tf", ".tfvars", ".hcl")),
    Language("Dockerfile", (".dockerfile",), ("dockerfile", "containerfile")),
    Language("Makefile", (".mk", ".mak"), ("makefile", "gnumakefile"), ("make",)),
    Language("CMake", (".cmake",), ("cmakelists.txt",)),
    Language("Protocol Buffers", (".proto",)),
    Language("GraphQL", (".graphql", ".gql")),
    Language("TeX", (".tex", ".sty", ".bib")),
    Language("Fortran", (".f", ".f90", ".f95", ".f03")),
    Language("Pascal", (".pas", ".dpr")),
    Language("Visual Basic", (".vb", ".vbs", ".bas")),
    Language("Assembly", (".s", ".asm")),
    Language("Verilog", (".v", ".sv")),
    Language("VHDL", (".vhd", ".vhdl")),
    Language("Diff", (".diff", ".patch")),
)
_BY_SUFFIX = {suffix: language for language in _LANGUAGES for suffix in language.suffixes}
_BY_NAME = {name: language for language in _LANGUAGES for name in language.names}
_BY_COMMAND = {command: language for language in _LANGUAGES for command in language.commands}
_SHEBANG = re.compile(rb"#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?")


def mime_of(language: Language) -> str:
    """Our own kind for source code in that language: "text/x-source-python"."""
    return PREFIX + language.name.lower().replace(" ", "-").replace("#", "sharp").replace("+", "p")


BY_MIME = {mime_of(language): language for language in _LANGUAGES}


def language_of(name: str, start: bytes) -> Language | None:
    """The language of a text called `name` that begins with `start`; what it says itself goes before its name."""
    if start.startswith(b"<?php"):
        return _BY_SUFFIX[".php"]
    if found := _SHEBANG.match(start):
        command = (found[2] if found[1].endswith(b"/env") else found[1]) or b""
        program = command.rpartition(b"/")[2].decode("ascii", errors="replace").lower()
        if language := _BY_COMMAND.get(program) or _BY_COMMAND.get(program.rstrip("0123456789.")):
            return language
    path = PurePath(name.lower())
    return _BY_NAME.get(path.name) or _BY_SUFFIX.get(path.suffix)
