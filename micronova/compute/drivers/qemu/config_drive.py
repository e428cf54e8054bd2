"""The config drive: an ISO 9660 disk labelled `config-2` with a guest's metadata, as Nova makes it."""

import io
import pathlib
from collections.abc import Mapping

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from micronova.errors import Rejected

LABEL = "config-2"


def build(files: Mapping[str, bytes]) -> bytes:
    """The disk's bytes, holding `files` by relative path, with Rock Ridge and Joliet names.

    Raises Rejected when a path cannot be one on such a disk.
    """
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=4, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
    out = io.BytesIO()
    try:
        known = {pathlib.PurePosixPath("/")}
        for name in sorted(files):
            path = _absolute(name)
            _add_folders(iso, path.parent, known)
            content = files[name]
            iso.add_fp(io.BytesIO(content), len(content), str(path), rr_name=path.name, joliet_path=str(path))
        iso.write_fp(out)
    except PyCdlibException as err:
        raise Rejected(f"the config drive cannot hold its files: {err}") from err
    finally:
        iso.close()
    return out.getvalue()


def _absolute(name: str) -> pathlib.PurePosixPath:
    path = pathlib.PurePosixPath("/") / name
    if ".." in path.parts or path.name == "":
        raise Rejected(f"the config drive cannot hold a file {name!r}")
    return path


def _add_folders(iso: pycdlib.PyCdlib, folder: pathlib.PurePosixPath, known: set[pathlib.PurePosixPath]) -> None:
    if folder in known:
        return
    _add_folders(iso, folder.parent, known)
    iso.add_directory(str(folder), rr_name=folder.name, joliet_path=str(folder))
    known.add(folder)
