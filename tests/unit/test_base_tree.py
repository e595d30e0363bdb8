"""A look at a base: layers over each other as a runtime would lay them, its Python, and what is remembered of it."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from torchferry.base_tree import BaseTree, Python
from torchferry.errors import BuildError

PROGRAM = b"\x7fELF\x003.11.2\x00 and more"


def layer(**entries: bytes | str | None) -> io.BytesIO:
    """A tar: bytes are a file, text is where a link points, None is a folder; ``__`` in a name is a slash."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for key, content in entries.items():
            entry = tarfile.TarInfo(key.replace("__", "/").replace("WH", ".wh.").replace("DOT", "."))
            entry.mode = 0o755
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    sink.seek(0)
    return sink


def tree_of(*layers: io.BytesIO) -> BaseTree:
    tree = BaseTree()
    for one in layers:
        tree.lay(one)
    return tree


def test_the_python_on_path_is_found_with_its_full_version() -> None:
    tree = tree_of(layer(usr=None, usr__bin=None, usr__bin__python3DOT11=PROGRAM))
    assert tree.python("3.11", "") == Python(path="/usr/bin/python3.11", version="3.11.2")
    assert tree.python("3.11", "/nowhere:/usr/bin").path == "/usr/bin/python3.11"


def test_a_shared_library_tells_the_version_of_a_small_program() -> None:
    library = {"usr__local__lib__libpython3DOT11DOTsoDOT1DOT0": PROGRAM}
    tree = tree_of(layer(usr__local__bin__python3DOT11=b"\x7fELF", **library))
    assert tree.python("3.11", "") == Python(path="/usr/local/bin/python3.11", version="3.11.2")


def test_links_of_folders_and_of_the_program_are_followed() -> None:
    tree = tree_of(layer(bin="usr/bin", usr__bin__python3DOT11="/opt/py/python3.11", opt__py__python3DOT11=PROGRAM,
                         opt=None, opt__py=None, usr=None, usr__bin=None))
    with pytest.raises(BuildError, match="full version"):  # not where an interpreter usually lies
        tree.python("3.11", "/bin")
    tree = tree_of(layer(bin="usr/bin", usr=None, usr__bin=None, usr__bin__python3DOT11=PROGRAM))
    assert tree.python("3.11", "/bin").path == "/bin/python3.11"


@pytest.mark.parametrize("broken", ["python3.11", "/gone", "../../../x"])
def test_a_link_to_nowhere_or_itself_is_no_python(broken: str) -> None:
    with pytest.raises(BuildError, match=r"no python3\.11"):
        tree_of(layer(usr=None, usr__bin=None, usr__bin__python3DOT11=broken)).python("3.11", "")


def test_whiteouts_take_away_and_a_file_takes_the_place_of_a_folder() -> None:
    first = layer(opt=None, opt__a=None, opt__a__x=b"1", opt__b=b"2", srv=None, srv__deep=None, srv__deep__y=b"3")
    second = layer(opt__WHa=b"", srv=b"now a file")
    tree = tree_of(first, second)
    assert set(tree.nodes) == {"opt", "opt/b", "srv"}
    tree.lay(layer(opt__WHWHDOTopq=b""))
    assert "opt/b" not in tree.nodes


def test_a_folder_that_is_a_link_or_somebody_elses_is_refused() -> None:
    tree = tree_of(layer(usr=None, opt="usr", etc=b"a file"))
    assert tree.mode("usr") == 0o755
    assert tree.mode("absent") is None
    for path in ("opt", "etc"):
        with pytest.raises(BuildError, match=f"/{path}"):
            tree.mode(path)
    assert tree.folder_modes(["usr/share/x", "srv/y"]) == {"usr": 0o755}


def test_the_user_tables_are_read_from_the_layer_that_has_them_last() -> None:
    tree = tree_of(layer(etc=None, etc__passwd=b"old"), layer(etc__passwd=b"new \xff"))
    assert tree.contents == {"etc/passwd": b"new \xff"}


def test_what_is_remembered_is_equal() -> None:
    tree = tree_of(layer(etc=None, etc__passwd=b"new \xff", usr__bin__python3DOT11=PROGRAM, opt="usr"))
    assert BaseTree.from_json(json.loads(json.dumps(tree.as_json()))) == tree


def test_a_damaged_layer_is_refused() -> None:
    with pytest.raises(BuildError, match="cannot be read"):
        tree_of(io.BytesIO(layer(etc__passwd=b"x" * 2000).getvalue()[:1500]))
