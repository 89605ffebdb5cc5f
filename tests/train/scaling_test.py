"""What devices exchange is read from a program as it stands there, and is what it must be."""

import pytest

from benchmarks import scaling

PROGRAM = """\
HloModule jit_step

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  ROOT %sum = f32[] add(%x, %y)
}

ENTRY %main (a: f32[8], b: bf16[4,2]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  %b = bf16[4,2]{1,0} parameter(1)
  %first = (f32[8]{0}, pred[]) all-reduce(%a, %flag), to_apply=%add
  %start = bf16[4,2]{1,0} all-reduce-start(%b), to_apply=%add
  %done = bf16[4,2]{1,0} all-reduce-done(%start)
  %part = f32[8]{0} get-tuple-element(%first), index=0
  %fused = f32[8]{0} fusion(%part, %done), kind=kLoop, calls=%fused_computation
  %second = f32[8]{0} all-gather(%fused), dimensions={0}
  ROOT %result = f32[8]{0} add(%second, %part)
}
"""


def test_operations_that_wait_for_none_are_not_in_a_row():
    assert scaling.in_a_row(PROGRAM) == 2


@pytest.mark.slow
def test_devices_exchange_gradient_statistics_and_little_else_however_many_they_are():
    two, four = (scaling.measured("quickstart:tiny", devices) for devices in (2, 4))
    assert two | {"devices": 4} == four
    rest = four["bytes"] - four["gradient_bytes"] - four["statistics_bytes"]
    assert 0 < rest < 1024
    assert four["operations"]["all-reduce"]["count"] >= four["in_a_row"] > 10
    assert scaling.measured("quickstart:tiny", 1)["bytes"] == 0
