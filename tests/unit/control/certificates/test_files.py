"""Certificates in directories, as people and Kubernetes change them."""

import os
import shutil

import pytest
from structlog.testing import capture_logs

from pipeops.control.certificates import files as module
from pipeops.control.certificates.files import RETRY, CertificateFiles


class Folder:
    """A directory of certificates, and what was told of it."""

    def __init__(self, path, authority, clock):
        self.path, self.authority, self.clock = path, authority, clock
        self.told = []
        self.files = CertificateFiles(path, clock, self.told.append)
        self._count = 0

    def put(self, name, *hosts, key_of=None, days=1):
        """Write a new certificate over the old one."""
        self._count += 1
        pair = self.authority.server(f"{id(self)}-{self._count}", *hosts, days=days)
        chain = self.path / name
        chain.parent.mkdir(exist_ok=True)
        shutil.copy(pair.certificate, chain)
        shutil.copy(key_of or pair.key, chain.with_suffix(".key"))
        return pair

    @property
    def labels(self):
        return [one.label for one in self.told[-1]]


@pytest.fixture
def folder(tmp_path, authority, clock):
    path = tmp_path / "certificates"
    path.mkdir()
    return Folder(path, authority, clock)


async def test_pairs_by_name_and_directories_of_their_own_are_found(folder):
    folder.put("a.crt", "a.example.com")
    folder.put("tls.crt", "root.example.com")
    folder.put("b/tls.crt", "b.example.com")
    pair = folder.put("c/cert.crt", "c.example.com")
    (folder.path / "c" / "cert.crt").rename(folder.path / "c" / "fullchain.pem")
    shutil.copy(pair.key, folder.path / "c" / "privkey.pem")
    folder.put(".hidden.crt", "hidden.example.com")
    shutil.copy(folder.authority.ca_file, folder.path / "ca.crt")
    assert await folder.files.look()
    assert folder.labels == ["a", "b", "c", "tls"]
    assert folder.files.problems == {}


async def test_nothing_is_read_or_told_while_nothing_changes(folder, monkeypatch):
    folder.put("a.crt", "a.example.com")
    await folder.files.look()
    monkeypatch.setattr(module, "_content", None)  # reading would fail
    assert not await folder.files.look()
    assert len(folder.told) == 1


async def test_a_change_is_noticed_also_when_size_and_time_stay_the_same(folder):
    folder.put("a.crt", "a.example.com")
    await folder.files.look()
    first = folder.told[-1][0]
    stats = (folder.path / "a.crt").stat()
    for name in ("a.crt", "a.key"):
        (folder.path / name).rename(folder.path / f"{name}.old")
    folder.put("a.crt", "a.example.com")
    os.utime(folder.path / "a.crt", ns=(stats.st_atime_ns, stats.st_mtime_ns))
    assert await folder.files.look()
    assert folder.told[-1][0].fingerprint != first.fingerprint


async def test_a_mounted_secret_is_followed_through_its_symbolic_links(folder):
    for version in ("..one", "..two"):
        folder.put(f"{version}/tls.crt", f"{version[2:]}.example.com")
    data = folder.path / "..data"
    data.symlink_to("..one")
    for name in ("tls.crt", "tls.key"):
        (folder.path / name).symlink_to(f"..data/{name}")
    await folder.files.look()
    assert folder.told[-1][0].names == ("one.example.com",)
    (folder.path / "..data_tmp").symlink_to("..two")
    (folder.path / "..data_tmp").rename(data)
    assert await folder.files.look()
    assert folder.told[-1][0].names == ("two.example.com",)


async def test_a_bad_pair_is_reported_once_and_the_old_certificate_stays(folder):
    good = folder.put("a.crt", "a.example.com")
    await folder.files.look()
    folder.put("a.crt", "a.example.com", key_of=good.key)
    with capture_logs() as records:
        assert not await folder.files.look()
        assert records == []  # perhaps it is being replaced just now
        for _ in range(3):
            assert not await folder.files.look()
            folder.clock.advance(RETRY)
    assert [(one["event"], one["old_one_stays"]) for one in records] == [
        ("certificate files cannot be used", True)
    ]
    path = folder.path / "a.crt"
    assert "does not belong" in folder.files.problems[str(path)]
    assert len(folder.told) == 1
    folder.put("a.crt", "a.example.com")
    assert await folder.files.look()
    assert folder.files.problems == {}


async def test_a_replacement_in_two_steps_is_nobodys_problem(folder):
    folder.put("a.crt", "a.example.com")
    await folder.files.look()
    fresh = folder.authority.server("fresh", "a.example.com")
    with capture_logs() as records:
        shutil.copy(fresh.certificate, folder.path / "a.crt")
        await folder.files.look()
        shutil.copy(fresh.key, folder.path / "a.key")
        assert await folder.files.look()
    assert [one["log_level"] for one in records] == ["info"]


async def test_a_missing_key_is_a_problem_that_names_it(folder):
    folder.put("a.crt", "a.example.com")
    (folder.path / "a.key").unlink()
    for _ in range(2):
        await folder.files.look()
    assert "a.key: No such file" in folder.files.problems[str(folder.path / "a.crt")]
    assert folder.told == []


async def test_an_expired_certificate_is_not_taken(folder):
    folder.put("a.crt", "a.example.com", days=-1)
    for _ in range(2):
        await folder.files.look()
    assert "it expired on" in folder.files.problems[str(folder.path / "a.crt")]


async def test_one_that_is_not_valid_yet_is_taken_when_it_is(folder):
    folder.put("a.crt", "a.example.com")
    folder.clock.jump_wall(-86_400)
    for _ in range(2):
        await folder.files.look()
    assert "not valid before" in folder.files.problems[str(folder.path / "a.crt")]
    folder.clock.jump_wall(86_400)
    assert not await folder.files.look()
    folder.clock.advance(RETRY)
    assert await folder.files.look()
    assert folder.files.problems == {}


async def test_files_that_are_gone_are_served_no_longer_at_the_second_look(folder):
    folder.put("a.crt", "a.example.com")
    folder.put("b.crt", "b.example.com")
    await folder.files.look()
    (folder.path / "a.crt").unlink()
    assert not await folder.files.look()
    assert await folder.files.look()
    assert folder.labels == ["b"]


async def test_a_directory_that_cannot_be_read_changes_nothing(folder):
    folder.put("a.crt", "a.example.com")
    await folder.files.look()
    folder.path.rename(folder.path.with_name("away"))
    with capture_logs() as records:
        for _ in range(3):
            assert not await folder.files.look()
    assert len(records) == 1
    assert "No such file" in folder.files.problems[str(folder.path)]
    folder.path.with_name("away").rename(folder.path)
    assert not await folder.files.look()
    assert folder.files.problems == {}
