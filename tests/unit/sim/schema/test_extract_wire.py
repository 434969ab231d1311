from pathlib import Path

from pipeops.sim.schema import extract_wire

SOURCE = """package v1

type Volume struct {
\t// A name.
\tName string `json:"name" protobuf:"bytes,1,opt,name=name"`
\tVolumeSource `json:",inline" protobuf:"bytes,2,opt,name=volumeSource"`
\tMode *int32 `json:"mode,omitempty" patchStrategy:"merge" protobuf:"varint,3,opt,name=mode"`
\tmetav1.TypeMeta `json:",inline"`
}
"""


def test_structs_are_found_with_numbers_pointers_and_embedded_structs() -> None:
    (found,) = extract_wire.STRUCT.finditer(SOURCE)
    line = extract_wire.struct_line("core.v1", found[1], found[2])
    assert line == "core.v1.Volume name=1 +core.v1.VolumeSource=2 mode*=3"


def test_lists_and_structs_without_numbers_are_left_out(tmp_path: Path) -> None:
    for package in extract_wire.API_PACKAGES:
        folder = tmp_path / "api@v1" / package
        folder.mkdir(parents=True)
        (folder / "types.go").write_text("package v1\n")
    meta = tmp_path / "apimachinery@v1" / "pkg/apis/meta/v1"
    meta.mkdir(parents=True)
    (meta / "types.go").write_text(SOURCE.replace("Volume ", "VolumeList ") + SOURCE)
    lines = list(extract_wire.lines(tmp_path, "v1"))
    assert [line.split()[0] for line in lines] == ["meta.v1.Volume"]
