"""Several data sets in a config: one config for each, and what they must share."""

import shutil

import pytest

from tests.two_sets import FIRST, SECOND, config_of
from va_jax.config import parse, with_values
from va_jax.data import preview, sets, sources
from va_jax.data.sets import OpenSet
from va_jax.data.sources import Source
from va_jax.types import InputError, Track

FROZEN = {"optim": {"rates": {"backbone": 0.0}}}  # as cached features require
BOTH = {"data": {"name": "a/1, b", "strides": (1, 3), "features": "x, y"}} | FROZEN


def opened(config, dims=("valence", "arousal"), sizes=(32, 32), fps=(10.0, 25.0)):
    found = []
    for each, size, rate in zip(sets.one_by_one(config), sizes, fps, strict=True):
        track = Track("t", "v", "s", "", rate, 600, 0)
        own = dims if each.data.name == "b" else ("valence", "arousal")
        source = Source(lambda _: [], [track], own, size)
        found.append(OpenSet(each, source, source))
    return found


def test_each_set_has_the_config_of_the_run_with_its_own_name_stride_and_features():
    first, second = sets.one_by_one(parse(BOTH))
    assert (first.data.name, second.data.name) == ("a/1", "b")
    assert (first.window.stride, second.window.stride) == (1, 3)
    assert (first.data.features, second.data.features) == ("x", "y")
    assert sets.one_by_one(second) == (second,)
    assert sets.named(parse(BOTH), "b") == second


def test_without_strides_every_set_has_the_stride_of_the_window():
    config = parse({"data": {"name": "a,b"}, "window": {"stride": 4}})
    assert [each.window.stride for each in sets.one_by_one(config)] == [4, 4]


def test_a_comma_in_the_path_of_the_features_of_one_set_is_part_of_the_path():
    config = parse({"data": {"name": "a", "features": "one,two"}} | FROZEN)
    assert sets.one_by_one(config)[0].data.features == "one,two"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("data.name", "a,,b", "data.name='a,,b'"),
        ("data.name", "a,a", "data.name='a,a'"),
        ("data.weights", (1.0,), r"data\.weights=\(1\.0,\).*2 data sets"),
        ("data.weights", (1.0, 0.0), r"data\.weights=0\.0"),
        ("data.strides", (1, 2, 3), r"data\.strides=\(1, 2, 3\).*2 data sets"),
        ("data.features", "x", "data.features='x'.*2 data sets"),
        ("data.features", "x,", "data.features='x,'"),
    ],
)
def test_values_that_do_not_match_the_sets_are_refused(key, value, named):
    with pytest.raises(InputError, match=named):
        with_values(parse({"data": {"name": "a,b"}} | FROZEN), **{key: value})


def test_heads_whose_names_would_be_the_same_are_refused():
    tree = {"data": {"name": "a/1,a_1"}, "model": {"heads": "per_set"}}
    with pytest.raises(InputError, match=r"model\.heads='per_set'"):
        parse(tree)


def test_sets_of_different_dimensions_are_refused_by_name():
    with pytest.raises(InputError, match=r"'b'.*valence, liking.*'a/1'.*valence, arousal"):
        sets.check_alike(opened(parse(BOTH), dims=("valence", "liking")))


def test_crops_of_different_sizes_need_a_size_for_the_network():
    config = parse(BOTH)
    with pytest.raises(InputError, match=r"data\.size=0.*a/1 \(32 px\), b \(48 px\)"):
        sets.check_alike(opened(config, sizes=(32, 48)))
    sets.check_alike(opened(with_values(config, **{"data.size": 40}), sizes=(32, 48)))


def test_a_line_for_each_set_gives_its_minutes_rate_share_and_the_seconds_of_a_window():
    weighted = {"data.weights": (1.0, 3.0), "window.length": 11}
    config = with_values(parse(BOTH), **weighted)
    first, second = sets.describe(config, opened(config))
    for part in ("a/1", "1 tracks", "1.0 minutes", "10 fps", "25.0%", "1.1 s"):
        assert part in first
    for part in ("b", "0.4 minutes", "25 fps", "75.0%", "1.32 s"):
        assert part in second


@pytest.mark.parametrize(("strides", "warns"), [((1, 2), True), ((1, 3), False), ((2, 5), False)])
def test_a_warning_names_spacings_that_differ_by_more_than_a_fifth(strides, warns):
    config = with_values(parse(BOTH), **{"data.strides": strides})  # 10 and 25 fps
    line = sets.spacing_warning(opened(config))
    assert (line is not None) == warns
    if line:
        assert "0.1 s in a/1" in line
        assert "0.08 s in b" in line


def test_a_preview_is_of_one_set(two_sets, tmp_path):
    with pytest.raises(InputError, match=rf"{FIRST},{SECOND}.*--data\.name={FIRST}"):
        preview.write_preview(config_of(two_sets), 1, tmp_path / "sheet.png")


def test_a_copy_beside_a_set_and_an_absolute_name_are_no_versions(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    (found,) = data.glob("synthetic_faces/tiny/*/dataset_info.json")
    shutil.copytree(found.parent, found.parent.with_name("1.0.0_backup"))
    assert sources.directory(str(data), "synthetic_faces/tiny") == found.parent
    for name in (str(found.parents[1]), "", "../tiny"):
        with pytest.raises(InputError, match=r"not found in data\.dir"):
            sources.directory(str(data), name)
