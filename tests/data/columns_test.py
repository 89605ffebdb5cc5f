"""The meaning of csv columns by their names, and refusals of names with more than one reading."""

import pytest

from va_jax.data.columns import understand, unit_of
from va_jax.types import DIMS, InputError


@pytest.mark.parametrize(
    ("names", "unit"),
    [
        (("time_s", "t_s", "Time (s)", "time in seconds", "seconds", "sec", "timestamp [s]"), "s"),
        (("time_ms", "TIME_MS", "msec", "milliseconds", "timestampMs", "Time [ms]", "ms"), "ms"),
        (("frame", "Frame", "frame_number", "frameNumber", "FRAME_IDX", "video_frame"), "frame"),
        (("time", "times", "timestamp", "TimeStamp", "frameTime", "t", "ts", "video time"), None),
        (("index", "id", "", "s", "time_us", "start time", "frame_rate", "valence_time"), ""),
    ],
)
def test_the_unit_of_a_time_follows_from_its_name(names, unit):
    assert {name: unit_of(name) for name in names} == dict.fromkeys(names, unit)


@pytest.mark.parametrize(
    ("header", "time", "unit", "raters"),
    [
        ("time,valence,arousal", 0, None, [(1,), (2,)]),
        ("Arousal,VALENCE,Time_S", 2, "s", [(1,), (0,)]),
        (",time_ms,valence,arousal", 1, "ms", [(2,), (3,)]),
        ("frame,time_s,valence,arousal,face,valid", 1, "s", [(2,), (3,)]),
        ("timestamp,time_ms,frame,valence,arousal", 1, "ms", [(3,), (4,)]),
        ("frame,timestamp,valence,arousal", 1, None, [(2,), (3,)]),
        ("video_frame,valence,arousal", 0, "frame", [(1,), (2,)]),
        ("time,valence_1,valence FM2,Valence r3,arousal", 0, None, [(1, 2, 3), (4,)]),
        ("time,P1_valence,p2 Valence,S1_arousal,annaArousal", 0, None, [(1, 2), (3, 4)]),
        ("time,valence1,valence2,arousal1", 0, None, [(1, 2), (3,)]),
        ("time,valence_std,valence,arousal,arousal_confidence", 0, None, [(2,), (3,)]),
        ("time,valence,arousal,valence_target,valence_processed", 0, None, [(1,), (2,)]),
        ("time,valence_1,valence_1_std,mean_valence,arousal", 0, None, [(1,), (4,)]),
        ("time,valencestd,valence,meanArousal,arousal,dominance", 0, None, [(2,), (4,)]),
    ],
)
def test_columns_are_found_by_their_names(header, time, unit, raters):
    columns = understand(header.split(","), DIMS)
    assert (columns.time, columns.unit) == (time, unit)
    assert list(columns.raters.values()) == raters
    used = {time, *sum(raters, ())}
    names = header.split(",")
    assert list(columns.ignored) == [names[n] for n in range(len(names)) if n not in used]


@pytest.mark.parametrize(
    ("header", "candidates", "option"),
    [
        (",valence,arousal", "'', valence, arousal", "time_column"),
        ("index,valence,arousal", "index, valence, arousal", "time_unit"),
        ("time_us,valence,arousal", "time_us", "time_unit"),
        ("time,timestamp,valence,arousal", "'time', 'timestamp'", "time_column"),
        ("time,valence", "'arousal' (columns: time, valence)", "columns="),
        ("time,V,A", "'valence' (columns: time, V, A)", "columns="),
        ("time,valence_mean,arousal", "valence_mean", "columns="),
        ("time,valence,valence_r2,arousal", "valence, valence_r2", "columns="),
        ("time,valence,valence,arousal", "valence, valence", "columns="),
        ("time,valence_arousal,valence,arousal", "'valence_arousal'", "columns="),
        ("time,valence,arousal,ambivalence", "'ambivalence'", "columns="),
        ("time,a_valence_b,arousal", "'a_valence_b'", "columns="),
    ],
)
def test_a_header_with_no_or_several_readings_is_refused(header, candidates, option):
    with pytest.raises(InputError) as caught:
        understand(header.split(","), DIMS)
    assert candidates in str(caught.value)
    assert option in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "options", "time", "unit", "raters"),
    [
        (",valence,arousal", {"time_column": "1", "time_unit": "frame"}, 0, "frame", [(1,), (2,)]),
        ("t0,valence,arousal", {"time_column": "T0", "time_unit": "s"}, 0, "s", [(1,), (2,)]),
        ("time,valence,arousal", {"time_unit": "ms"}, 0, "ms", [(1,), (2,)]),
        ("time,frame,valence,arousal", {"time_unit": "frame"}, 1, "frame", [(2,), (3,)]),
        ("time,timestamp,valence,arousal", {"time_column": "time"}, 0, None, [(2,), (3,)]),
        ("time,V,A", {"columns": ("valence:v", "arousal:A")}, 0, None, [(1,), (2,)]),
        ("time,V,A", {"columns": ("arousal:2", "valence:3")}, 0, None, [(2,), (1,)]),
        ("t,valence_mean,arousal", {"columns": ("valence_mean", "arousal")}, 0, None, [(1,), (2,)]),
        (
            "time,valence,valence_r2,arousal",
            {"columns": ("valence", "valence_r2", "arousal")},
            0,
            None,
            [(1, 2), (3,)],
        ),
    ],
)  # fmt: skip
def test_options_settle_what_the_names_leave_open(header, options, time, unit, raters):
    columns = understand(header.split(","), DIMS, **options)
    assert (columns.time, columns.unit) == (time, unit)
    assert list(columns.raters.values()) == raters


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"time_unit": "min"}, "time_unit=min is not one of s, ms, frame"),
        ({"time_unit": "ms"}, "unit ms"),
        ({"time_column": "nope"}, "time_column=nope: there is no such column"),
        (
            {"time_column": "valence", "time_unit": "s", "columns": ("valence", "arousal")},
            "'valence' cannot be both the time and valence",
        ),
        ({"time_column": "valence"}, "'valence' does not contain the unit; set time_unit"),
        ({"columns": ("valence",)}, "columns=valence lists no column for 'arousal'"),
        ({"columns": ("valence", "arousal", "face")}, "whether 'face' is valence or arousal"),
        ({"columns": ("valence", "valence:2", "arousal")}, "lists a column twice for 'valence'"),
    ],
)
def test_options_that_contradict_the_header_are_refused(options, problem):
    with pytest.raises(InputError, match=problem):
        understand(["time_s", "valence", "arousal", "face"], DIMS, **options)


def test_the_longest_target_wins_and_an_exact_name_is_no_role():
    header = ["time", "valence_self", "valence", "valence_target"]
    dims = ("valence", "valence_self", "valence_target")
    assert understand(header, dims).raters == dict(zip(dims, [(2,), (1,), (3,)], strict=True))
