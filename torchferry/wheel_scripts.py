"""The programs of a wheel: entry points to launchers, and the first line of scripts, as uv writes them."""

from __future__ import annotations

import configparser
import re
from configparser import ConfigParser
from dataclasses import dataclass

LAUNCHER = '''\
{shebang}
# -*- coding: utf-8 -*-
import sys
from {module} import {name}
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({function}())
'''
"""What uv writes for an entry point, byte for byte; tests/contract/test_uv_equality.py compares."""

PLACEHOLDER = b"#!python"
_SHEBANG_LIMIT = 127
_VALUE = re.compile(r"([\w\-.]+)[ \t]*:[ \t]*([\w\-.]+)(?: *\[ *[^\[\],\s]+(?: *, *[^\[\],\s]+)*,? *\])?", re.ASCII)
_NAME = re.compile(r"[\w.+-]+(?: [\w.+-]+)*", re.ASCII)
_VERSIONED_PIP = re.compile(r"pip3\.\+?0*(?:[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])")
_RESERVED = re.compile(
    r"(pythonw?|pythonw?3(\.[0-9]+t?)?|graalpy|pypy[23]?)(\.py)?(\.exe)?"
    r"|activate(\..*|_this\.py)?|deactivate(\..*)?|pydoc\.bat"
)


class BadScript(Exception):
    """Why an entry point or script is refused; who reads it says whose it is."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """An entry point: the program's name, and the module and function it calls."""

    name: str
    module: str
    function: str


def entry_points(text: str, *, python: str) -> tuple[Script, ...]:
    """The console and gui scripts of an entry_points.txt, gui ones last.

    ``python`` is "3.11": pip's own pip3.N is renamed after it. Raises BadScript for what uv may read differently.
    """
    text = text.replace("\r\n", "\n")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise BadScript("entry_points.txt holds control characters")
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as the standard library's documentation has it
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise BadScript(f"entry_points.txt: {error.message}") from error
    console = [script for script in _section(parser, "console_scripts") if not _VERSIONED_PIP.fullmatch(script.name)]
    minor = python.partition(".")[2]
    console += [
        Script(name=f"pip3.{minor}", module=script.module, function=script.function)
        for script in console if script.name == "pip3"
    ]
    return (*console, *_section(parser, "gui_scripts"))


def _section(parser: ConfigParser, section: str) -> list[Script]:
    return [_script(name, value) for name, value in parser.items(section)] if parser.has_section(section) else []


def _script(name: str, value: str) -> Script:
    found = _VALUE.fullmatch(value)
    if found is None or not _NAME.fullmatch(name) or name in (".", ".."):
        raise BadScript(f"entry_points.txt: script {name!r} = {value!r} is not understood")
    check_name(name)
    return Script(name=name, module=found[1], function=found[2])


def check_name(name: str) -> None:
    """Raise BadScript for the name of a program that the virtual environment has for itself."""
    if _RESERVED.fullmatch(name.lower()):
        raise BadScript(f"a program named {name!r} would stand in place of the virtual environment's own")


def shebang(executable: str) -> str:
    """The first line of a program for this Python; two lines by way of /bin/sh where the kernel could not read it."""
    if len(executable) + 3 > _SHEBANG_LIMIT or " " in executable:
        quoted = executable.replace("'", "'\"'\"'")
        return f"#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''"
    return f"#!{executable}"


def launcher(script: Script, executable: str) -> bytes:
    """The program that calls an entry point."""
    name = script.function.partition(".")[0]
    text = LAUNCHER.format(shebang=shebang(executable), module=script.module, name=name, function=script.function)
    return text.encode("utf-8")


def rewritten(script: bytes, executable: str) -> bytes:
    """A script that begins with #!python, with the real one there; the rest of its first line is dropped."""
    rest = re.split(rb"\r\n|\r|\n", script, maxsplit=1)
    return shebang(executable).encode("utf-8") + b"\n" + (rest[1] if len(rest) > 1 else b"")


def made_by_entry_point(name: str, scripts: tuple[Script, ...]) -> bool:
    """Whether a script in .data/scripts is skipped, because an entry point makes that program."""
    for suffix in (".exe", "-script.py", ".pya"):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    return any(script.name == name for script in scripts)
