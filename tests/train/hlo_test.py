"""Operations between devices and memory, read from what the compiler writes."""

from tests.train.scaling_test import PROGRAM
from va_jax.train import hlo


def test_operations_and_bytes_are_those_written_there_and_a_started_one_counts_once():
    assert hlo.collectives(PROGRAM) == [
        ("all-reduce", 8 * 4 + 1, False),
        ("all-reduce", 8 * 2, True),
        ("all-gather", 8 * 4, False),
    ]


def test_a_started_gather_lists_its_operand_first_and_small_types_take_a_byte():
    line = "%s = (f32[2]{0}, f32[8]{0}) all-gather-start(%x)\n%t = f8e4m3fn[4] all-reduce(%y)"
    assert hlo.collectives(line) == [("all-gather", 32, True), ("all-reduce", 4, False)]
    permuted = "%p = (f32[128]{0}, f32[128]{0}, u32[], u32[]) collective-permute-start(%x)"
    assert hlo.collectives(permuted) == [("collective-permute", 512, True)]


def test_the_memory_of_a_program_that_does_not_fit_is_read_from_the_error():
    for text in (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Used 20.5G of 15.75G hbm. Exceeded",
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory "
        "required for HLO temporaries (20.5G) exceeds available HBM (15.75G). HLO module: jit_step",
    ):
        assert hlo.memory_used(RuntimeError(text)) == int(20.5 * 2**30)
    assert hlo.memory_used(RuntimeError("RESOURCE_EXHAUSTED: no figures")) is None
