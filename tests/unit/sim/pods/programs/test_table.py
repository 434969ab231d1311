"""Starting programs."""

import pytest


@pytest.mark.parametrize("name", ["echo", "/bin/echo", "/usr/bin/echo"])
async def test_programs_are_found_by_name_and_path(sh, name: str) -> None:
    assert (await sh.run([name, "x"]))[1] == b"x\n"


@pytest.mark.parametrize("name", ["nope", "/bin/nope", "./nope", ""])
async def test_what_is_not_there_is_not_found(sh, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        await sh.run([name])


async def test_files_must_be_executable(sh) -> None:
    await sh("echo 'echo script' >/tmp/s")
    with pytest.raises(PermissionError):
        await sh.run(["/tmp/s"])
    await sh("chmod +x /tmp/s")
    assert (await sh.run(["/tmp/s"]))[1] == b"script\n"
