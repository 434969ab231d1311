"""tar, against Python's own tarfile."""

import io
import tarfile

import pytest

from pipeops.sim.pods.programs.archive import pax_records

DATA = bytes(range(256)) * 300


def archive(form: int, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as whole:
        for name in names:
            info = tarfile.TarInfo(name)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                whole.addfile(info)
            else:
                info.size = len(DATA)
                whole.addfile(info, io.BytesIO(DATA))
    return buffer.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_takes_archives_of_every_format(sh, form: int) -> None:
    long = "d/" + "n" * 90 if form == tarfile.USTAR_FORMAT else "d/" + "n" * 200 + "é"
    code, _, errors = await sh.run(
        ["tar", "-xmf", "-", "-C", "/tmp"], archive(form, ["d/", long, "x"])
    )
    assert (code, errors) == (0, b"")
    assert sh.files.file("/tmp/" + long).data == DATA
    assert sh.files.file("/tmp/x").data == DATA


async def test_makes_archives_that_tarfile_reads(sh) -> None:
    await sh(f"mkdir -p /a/b; echo text >/a/b/{'n' * 150}; touch /a/empty; ln -s b /a/link")
    code, made, errors = await sh("tar cf - /a")
    assert (code, errors) == (0, b"tar: Removing leading `/' from member names\n")
    with tarfile.open(fileobj=io.BytesIO(made)) as whole:
        assert whole.getnames() == ["a", "a/b", "a/b/" + "n" * 150, "a/empty", "a/link"]
        assert whole.extractfile("a/b/" + "n" * 150).read() == b"text\n"
        assert whole.getmember("a/link").linkname == "b"


async def test_a_folder_goes_through_unchanged(out) -> None:
    script = (
        "mkdir -p /a /b; seq 1000 >/a/f; tar cf - -C / a | tar xf - -C /b; cat /b/a/f | tail -1"
    )
    assert await out(script) == "1000\n"


async def test_a_member_names_nothing_outside(sh) -> None:
    await sh.run(
        ["tar", "xf", "-", "-C", "/tmp"], archive(tarfile.GNU_FORMAT, ["../../evil", "/abs"])
    )
    assert sh.files.exists("/tmp/evil")
    assert sh.files.exists("/tmp/abs")


async def test_a_cut_archive_is_an_error(sh) -> None:
    code, _, errors = await sh.run(["tar", "xf", "-"], archive(tarfile.GNU_FORMAT, ["f"])[:2000])
    assert (code, errors) == (2, b"tar: /f: Unexpected EOF in archive\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("cf -", "Cowardly refusing"), ("xf - -C /no", "/no: No such file"), ("czf - /tmp", "compression"),
        ("cf - /no", "/no: Cannot stat: No such file or directory"), ("f -", "must specify one of"),
        ("xf /no", "/no: No such file"), ("xf - </dev/urandom", "does not look like a tar archive"),
        ("cf", "option requires an argument"),
    ],
)  # fmt: skip
async def test_mistakes_are_explained(sh, arguments: str, message: str) -> None:
    code, _, errors = await sh(
        "head -c 2048 /dev/urandom >/tmp/noise; tar "
        + arguments.replace("/dev/urandom", "/tmp/noise")
    )
    assert code != 0
    assert message in errors.decode()


async def test_lists_members(out, sh) -> None:
    assert (await sh.run(["tar", "tf", "-"], archive(tarfile.GNU_FORMAT, ["d/", "f"])))[
        1
    ] == b"d/\nf\n"


def test_records_stop_at_nonsense() -> None:
    assert pax_records(b"12 path=abc\n99 size=1\n") == {"path": "abc"}
