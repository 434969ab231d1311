"""Programs on bytes and lines."""

import hashlib

import pytest

LINES = b"".join(b"line %d\n" % number for number in range(1, 21))


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("head -n 1", "line 1\n"), ("head -2", "line 1\nline 2\n"), ("head -c 3", "lin"),
        ("tail -n 1", "line 20\n"), ("tail -n +20", "line 20\n"), ("tail -c 3", "20\n"),
        ("wc -l", "20\n"), ("wc -w", "40\n"), ("wc -c", "151\n"),
        ("wc", "      20      40     151\n"), ("grep -c 1", "11\n"), ("grep '^line [34]$'", "line 3\nline 4\n"),
        ("grep -E 'line (3|4)$'", "line 3\nline 4\n"), ("grep -v 1 | head -1", "line 2\n"),
        ("grep -n -w 7", "7:line 7\n"), ("grep -o '20'", "20\n"), ("grep -q line && echo yes", "yes\n"),
        ("sort -r | head -1", "line 9\n"), ("tee /tmp/t | tail -1; wc -l /tmp/t", "line 20\n20 /tmp/t\n"),
        ("grep -F '.' ; echo $?", "1\n"), ("cat -n | head -1", "     1\tline 1\n"),
    ],
)  # fmt: skip
async def test_lines_are_cut_and_counted(sh, script: str, printed: str | None) -> None:
    code, found, errors = await sh(script, LINES)
    assert (code, errors) == (0, b"")
    if printed is not None:
        assert found.decode() == printed


async def test_checksums_are_those_of_the_bytes(sh) -> None:
    data = bytes(range(256)) * 1000
    for kind in ("sha256", "md5", "sha1"):
        expected = hashlib.new(kind, data).hexdigest()
        assert (await sh(f"{kind}sum", data))[1] == f"{expected}  -\n".encode()


async def test_cat_passes_every_byte(sh) -> None:
    data = bytes(range(256)) * 5000
    assert (await sh("cat | cat - | cat", data))[1] == data


async def test_sorting_and_repeats(out) -> None:
    assert await out("printf '10\\n9\\n9\\n' | sort -n | uniq -c") == "      2 9\n      1 10\n"
    assert await out("printf 'b\\na\\nb\\n' | sort -u") == "a\nb\n"


async def test_base64_goes_both_ways(out) -> None:
    assert await out("echo text | base64") == "dGV4dAo=\n"
    assert await out("echo dGV4dAo= | base64 -d") == "text\n"


@pytest.mark.parametrize("program", ["cat", "head", "tail", "wc", "sha256sum", "grep x", "sort"])
async def test_missing_files_are_named(sh, program: str) -> None:
    code, _, errors = await sh(f"{program} /no")
    assert code in {1, 2}
    assert errors == f"{program.split(maxsplit=1)[0]}: /no: No such file or directory\n".encode()


async def test_a_full_file_system_says_so(sh) -> None:
    code, _, errors = await sh("yes >/tmp/f; echo $? >&2; rm /tmp/f; echo ok >/tmp/f; cat /tmp/f")
    assert code == 0
    assert errors == b"yes: write error: No space left on device\n1\n"


async def test_a_wrong_pattern_is_an_error(sh) -> None:
    assert b"bad regex" in (await sh("grep '['"))[2]
