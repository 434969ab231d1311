"""The memory file system."""

import errno

import pytest

from pipeops.sim.pods.files import NODE_COST, File, Files, Folder, Quota


@pytest.fixture
def files() -> Files:
    return Files(lambda: 0.0, Quota(10_000))


def write(files: Files, path: str, data: bytes) -> None:
    file = files.create(path)
    assert isinstance(file, File)
    files.append(file, data)


def fails(code: int):
    return pytest.raises(OSError, match=rf"\[Errno {code}\]")


def test_files_are_found_where_they_were_made(files: Files) -> None:
    files.make_folder("/a/b", parents=True)
    write(files, "/a/b/c", b"text")
    assert files.file("../a/b/./c", "/a").data == b"text"
    assert isinstance(files.find("/a/b/.."), Folder)


def test_errors_are_those_of_a_kernel(files: Files) -> None:
    write(files, "/f", b"")
    for code, step in [
        (errno.ENOENT, lambda: files.find("/no")),
        (errno.ENOTDIR, lambda: files.find("/f/x")),
        (errno.EISDIR, lambda: files.create("/")),
        (errno.EEXIST, lambda: files.make_folder("/f")),
        (errno.ENOENT, lambda: files.create("/no/f")),
        (errno.EBUSY, lambda: files.remove("/")),
        (errno.ENAMETOOLONG, lambda: files.create("/" + "x" * 300)),
    ]:
        with fails(code):
            step()


def test_links_are_followed_but_not_for_ever(files: Files) -> None:
    write(files, "/f", b"x")
    files.make_link("/l", "/", "f")
    assert files.file("/l").data == b"x"
    files.make_link("/loop", "/", "/loop")
    with fails(errno.ELOOP):
        files.find("/loop")


def test_space_runs_out_and_comes_back(files: Files) -> None:
    whole = Quota(15_000)
    first, second = (Files(lambda: 0.0, Quota(10_000, whole)) for _ in range(2))
    write(first, "/f", b"x" * 9_000)
    with fails(errno.ENOSPC):
        write(first, "/g", b"x" * 900)
    with fails(errno.ENOSPC):
        write(second, "/f", b"x" * 8_000)
    first.remove("/f")
    assert whole.used == first.quota.used + second.quota.used == 2 * NODE_COST
    first.quota.release()
    assert whole.used == NODE_COST


def test_folders_go_only_when_asked_for_all(files: Files) -> None:
    files.make_folder("/a/b", parents=True)
    with fails(errno.ENOTEMPTY):
        files.remove("/a")
    files.remove("/a", recursive=True)
    assert files.quota.used == 0


def test_moving_replaces_files_and_enters_folders(files: Files) -> None:
    write(files, "/a", b"1")
    write(files, "/b", b"2")
    files.make_folder("/d")
    files.move("/a", "/b")
    files.move("/b", "/d")
    assert files.file("/d/b").data == b"1"
    with fails(errno.EINVAL):
        files.move("/d", "/d/e")
