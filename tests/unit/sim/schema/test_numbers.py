from pipeops.sim.schema.numbers import pointer_fields, wire_structs


def test_numbers_of_well_known_fields() -> None:
    meta = wire_structs()["meta.v1.ObjectMeta"]
    assert {meta[1].name, meta[3].name, meta[11].name} == {"name", "namespace", "labels"}
    assert wire_structs()["core.v1.Volume"][2].embedded == "core.v1.VolumeSource"


def test_pointers_of_embedded_structs_count() -> None:
    assert "emptyDir" in pointer_fields("core.v1.Volume")
    assert "name" not in pointer_fields("core.v1.Volume")
    assert pointer_fields("no.such.Struct") == frozenset()
