"""Programs on files and folders."""

import pytest


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("mkdir -p /a/b; touch /a/f /a/.h; ls /a; ls -A /a | wc -l", "b\nf\n3\n"),
        ("touch /f; ls -l /f", "-rw-r--r--    1 root     root             0 Nov 14 22:13 /f\n"),
        ("ls -ld /tmp", "drwxr-xr-x    1 root     root          4096 Nov 14 22:13 /tmp\n"),
        ("echo x >/f; cp /f /g; mv /g /h; cat /h; ls /g 2>&1", "x\nls: /g: No such file or directory\n"),
        ("mkdir -p /a/b; echo x >/a/b/c; cp -r /a /z; cat /z/b/c", "x\n"),
        ("mkdir /d; rmdir /d; ls -d /d 2>/dev/null; echo $?", "1\n"),
        ("echo x >/f; ln -s /f /l; cat /l; ls -l /l | tail -c 9", "x\n/l -> /f\n"),
        ("mkdir -p /a/b; touch /a/b/c; find /a", "/a\n/a/b\n/a/b/c\n"),
        ("mkdir /d; rm -r /d; rm -f /d; echo $?", "0\n"), ("touch /f; chmod 600 /f; ls -l /f | head -c 10", "-rw-------"),
    ],
)  # fmt: skip
async def test_prints_what_it_should(sh, script: str, printed: str) -> None:
    _, found, errors = await sh(script)
    assert errors == b""
    assert found.decode() == printed


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("mkdir /no/x", "mkdir: can't create directory '/no/x': No such file or directory"),
        ("rm /no", "rm: can't remove '/no': No such file or directory"),
        ("rm /tmp", "rm: can't remove '/tmp': Is a directory"),
        ("cp /tmp /x", "cp: omitting directory '/tmp'"),
        ("mv /no /x", "mv: can't rename '/no': No such file or directory"),
        ("touch /no/x", "touch: /no/x: No such file or directory"),
        ("rmdir /no", "rmdir: '/no': No such file or directory"),
        ("find /no", "find: /no: No such file or directory"), ("chmod 1 /no", "chmod: /no: No such file or directory"),
        ("ln /a /b", "ln: only ln -s TARGET PATH works in the simulated pod"),
    ],
)  # fmt: skip
async def test_failures_name_the_path(sh, script: str, message: str) -> None:
    code, _, errors = await sh(script)
    assert (code, errors.decode()) == (1, message + "\n")


async def test_df_shows_the_quota(out) -> None:
    assert "4096" in (await out("df -h")).splitlines()[1]
