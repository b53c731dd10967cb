"""Files that a service must not open: pipes, devices, sockets, folders and links out of the bundle."""

import os
import socket
from pathlib import Path

IRREGULAR = {
    "pipe": "is no file",
    "socket": "is no file",
    "folder": "is no file",
    "/dev/zero": "is no file",
    "/etc/hostname": "is a link out of the folder",
    "../secret": "is a link out of the folder",
    "nowhere": "cannot be read",
    "itself": "cannot be read",
}
"""Kind of file, or target of a link -> expected problem."""


def make_irregular(folder: Path, name: str, kind: str) -> None:
    """Put an irregular file in place of a file of a folder, which is created if it is missing."""
    folder.mkdir(exist_ok=True)
    (folder.parent / "secret").write_text("secret")
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            here = Path.cwd()
            os.chdir(folder)  # the path of a socket is limited to 107 bytes
            try:
                sock.bind(name)
            finally:
                os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "itself":
        path.symlink_to(path)
    else:
        path.symlink_to(kind)
