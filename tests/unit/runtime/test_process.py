import os

from pipeops.runtime import process


def test_memory_of_this_process_is_plausible():
    assert 1 << 20 < process.resident_bytes() < 4 << 30
    assert process.resident_bytes(os.getpid()) > 1 << 20


def test_a_new_descriptor_is_counted():
    before = process.open_descriptors()
    read, write = os.pipe()
    try:
        assert process.open_descriptors() == before + 2
    finally:
        os.close(read)
        os.close(write)


def test_unknown_process_is_zero_not_an_error():
    assert process.resident_bytes(2**22 + 1) == 0
    assert process.open_descriptors(2**22 + 1) == 0


def test_limits_and_times_are_positive():
    assert process.descriptor_limit() > 0
    assert process.processor_seconds() >= 0
