"""The memory file system of one pod: folders, files, links, a few devices, and a quota."""

import errno
import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

NODE_COST = 256
"""Bytes that every file or folder counts besides its content."""
POD_LIMIT = 64 << 20
CLUSTER_LIMIT = 512 << 20
MAX_LINKS = 16
MAX_PATH = 4096


def error(code: int, path: str = "") -> OSError:
    """An OSError as the kernel would report it."""
    return OSError(code, os.strerror(code), path)


class Quota:
    """Bytes in use, never above `limit`, nor above what the `parent` (all pods together) allows."""

    def __init__(self, limit: int, parent: "Quota | None" = None) -> None:
        self.limit = limit
        self.used = 0
        self._parent = parent

    def take(self, size: int) -> None:
        """Claim bytes; OSError ENOSPC when they are not there. Negative sizes give back."""
        if size > 0 and self.used + size > self.limit:
            raise error(errno.ENOSPC)
        if self._parent is not None:
            self._parent.take(size)
        self.used += size

    def release(self) -> None:
        """Give everything back."""
        self.take(-self.used)


@dataclass(slots=True)
class Node:
    """What files, folders, links and devices have in common. `modified` is in unix seconds."""

    mode: int
    modified: float


@dataclass(slots=True)
class File(Node):
    """A regular file."""

    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Folder(Node):
    """A directory."""

    children: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True)
class Link(Node):
    """A symbolic link."""

    target: str = ""


@dataclass(slots=True)
class Device(Node):
    """One of /dev's: `null`, `zero` or `urandom`."""

    kind: str = "null"


NodeT = TypeVar("NodeT", bound=Node)


class Files:
    """Paths to nodes. Every method takes absolute or `directory`-relative paths and raises OSError."""

    def __init__(self, now: Callable[[], float], quota: Quota) -> None:
        self.now = now
        self.quota = quota
        self.root = Folder(0o755, now())

    def absolute(self, path: str, directory: str = "/") -> str:
        """The normalised absolute path."""
        if len(path) > MAX_PATH:
            raise error(errno.ENAMETOOLONG, path[:40] + "...")
        joined = posixpath.normpath(posixpath.join(directory, path))
        return "/" + joined.lstrip("/")

    def find(self, path: str, directory: str = "/", *, follow: bool = True) -> Node:
        """The node at a path; ENOENT, ENOTDIR or ELOOP."""
        if not path:
            raise error(errno.ENOENT, path)
        node, _, _ = self._walk(path, directory, follow=follow)
        if node is None:
            raise error(errno.ENOENT, path)
        return node

    def exists(self, path: str, directory: str = "/") -> bool:
        """Whether something is there."""
        try:
            self.find(path, directory)
        except OSError:
            return False
        return True

    def folder(self, path: str, directory: str = "/") -> Folder:
        """The folder at a path."""
        node = self.find(path, directory)
        if not isinstance(node, Folder):
            raise error(errno.ENOTDIR, path)
        return node

    def file(self, path: str, directory: str = "/") -> File:
        """The regular file at a path."""
        node = self.find(path, directory)
        if not isinstance(node, File):
            raise error(errno.EISDIR if isinstance(node, Folder) else errno.EINVAL, path)
        return node

    def create(
        self, path: str, directory: str = "/", *, mode: int = 0o644, truncate: bool = True
    ) -> File | Device:
        """Open for writing, creating the file when it is missing."""
        node, parent, name = self._walk(path, directory, follow=True)
        if isinstance(node, Device):
            return node
        if node is None:
            return self._add(parent, name, File(mode, self.now()), path)
        if not isinstance(node, File):
            raise error(errno.EISDIR, path)
        if truncate:
            self.resize(node, 0)
        node.modified = self.now()
        return node

    def append(self, file: File, data: bytes) -> None:
        """Add bytes at a file's end; ENOSPC beyond the quota."""
        self.quota.take(len(data))
        file.data += data

    def resize(self, file: File, size: int) -> None:
        """Cut a file."""
        self.quota.take(size - len(file.data))
        del file.data[size:]

    def make_folder(self, path: str, directory: str = "/", *, parents: bool = False) -> Folder:
        """Create a folder; with `parents`, also what leads to it, and an existing one is fine."""
        whole = self.absolute(path, directory)
        if parents and whole != "/":
            self.make_folder(posixpath.dirname(whole), parents=True)
        node, parent, name = self._walk(path, directory, follow=parents)
        if node is None:
            return self._add(parent, name, Folder(0o755, self.now()), path)
        if parents and isinstance(node, Folder):
            return node
        raise error(errno.EEXIST, path)

    def make_link(self, path: str, directory: str, target: str) -> None:
        """Create a symbolic link."""
        node, parent, name = self._walk(path, directory, follow=False)
        if node is not None:
            raise error(errno.EEXIST, path)
        self._add(parent, name, Link(0o777, self.now(), target), path)

    def add_device(self, path: str, kind: str) -> None:
        """Create a device."""
        _, parent, name = self._walk(path, "/", follow=False)
        self._add(parent, name, Device(0o666, self.now(), kind), path)

    def remove(self, path: str, directory: str = "/", *, recursive: bool = False) -> None:
        """Delete; a folder only when it is empty or with `recursive`."""
        node, parent, name = self._walk(path, directory, follow=False)
        if node is None:
            raise error(errno.ENOENT, path)
        if parent is None or name in {"", "."}:
            raise error(errno.EBUSY, path)
        if isinstance(node, Folder) and not recursive:
            raise error(errno.ENOTEMPTY if node.children else errno.EISDIR, path)
        del parent.children[name]
        for _, below in walk("", node):
            self.quota.take(-_size(below))

    def move(self, source: str, target: str, directory: str = "/") -> None:
        """Rename; an existing file at the target is replaced, a folder is moved into."""
        node, parent, name = self._walk(source, directory, follow=False)
        if node is None or parent is None:
            raise error(errno.ENOENT, source)
        into = self.absolute(target, directory)
        if self.exists(into) and isinstance(self.find(into), Folder):
            into = posixpath.join(into, name)
        if (into + "/").startswith(self.absolute(source, directory) + "/"):
            raise error(errno.EINVAL, source)
        present, holder, last = self._walk(into, "/", follow=False)
        if holder is None:
            raise error(errno.ENOENT, target)
        if present is not None:
            self.remove(into)
        del parent.children[name]
        holder.children[last] = node

    def _add(self, parent: Folder | None, name: str, node: NodeT, path: str) -> NodeT:
        if parent is None or not name:
            raise error(errno.ENOENT, path)
        if len(name.encode("utf-8", "surrogateescape")) > 255:
            raise error(errno.ENAMETOOLONG, path[:40] + "...")
        self.quota.take(_size(node))
        parent.children[name] = node
        parent.modified = self.now()
        return node

    def _walk(
        self, path: str, directory: str, *, follow: bool
    ) -> tuple[Node | None, Folder | None, str]:
        """(node or None, the folder that holds it, its name there)."""
        left = [part for part in self.absolute(path, directory).split("/") if part]
        node: Node | None = self.root
        trail: list[tuple[Folder, str]] = []
        links = 0
        while left:
            name = left.pop(0)
            if node is None:
                return None, None, name
            if not isinstance(node, Folder):
                raise error(errno.ENOTDIR, path)
            child = node.children.get(name)
            if isinstance(child, Link) and (left or follow):
                links += 1
                if links > MAX_LINKS:
                    raise error(errno.ELOOP, path)
                here = "/" + "/".join(step for _, step in trail)
                whole = self.absolute(child.target, here)
                left = [part for part in whole.split("/") if part] + left
                node, trail = self.root, []
                continue
            trail.append((node, name))
            node = child
        if not trail:
            return node, None, ""
        return node, trail[-1][0], trail[-1][1]


def _size(node: Node) -> int:
    return NODE_COST + (len(node.data) if isinstance(node, File) else 0)


def walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """A node and everything below it, in order of names, links not followed."""
    pending = [(path, node)]
    while pending:
        here, found = pending.pop()
        yield here, found
        if isinstance(found, Folder):
            below = sorted(found.children.items(), reverse=True)
            pending += [(posixpath.join(here, name), child) for name, child in below]
