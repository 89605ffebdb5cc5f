"""Every builder of recorded faces: splits without shared subjects, pickling, configurations."""

import pathlib
import pickle
import pkgutil

import pytest

import tfds_builders
from tests.configs_test import ROWS, config_of
from tfds_builders.build import builder_class, make_builder
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import RecordedBuilder

PACKAGES = [each.name for each in pkgutil.iter_modules(tfds_builders.__path__) if each.ispkg]
RECORDED = [name for name in PACKAGES if issubclass(builder_class(name), RecordedBuilder)]

PEOPLE = [
    Recording(f"t{n}", f"v{n}", f"p{n % 17}", group="ab"[n % 2], details={"session": f"{n % 17}"})
    for n in range(60)
]


def splits_of(name, monkeypatch, *options):
    """Return {split: recordings} that the builder draws for PEOPLE."""
    builder = make_builder(name, pathlib.Path("nowhere"), options)
    monkeypatch.setattr(type(builder), "scan", lambda self, root: PEOPLE)
    empty = staticmethod(lambda recording, config: Material(pathlib.Path("nowhere"), "crops"))
    monkeypatch.setattr(type(builder), "read", empty)
    return builder.recordings(pathlib.Path("nowhere"))


@pytest.mark.parametrize("name", RECORDED)
def test_no_subject_is_in_two_splits_whatever_the_seed(name, monkeypatch):
    for seed in range(5):
        splits = splits_of(name, monkeypatch, f"seed={seed}")
        seen = [{each.subject_id for each in recordings} for recordings in splits.values()]
        assert sum(map(len, seen)) == len(set().union(*seen)) == 17
        assert sum(map(len, splits.values())) == len(PEOPLE)


@pytest.mark.parametrize("name", RECORDED)
def test_recordings_can_be_sent_to_worker_processes(name):
    builder = make_builder(name, pathlib.Path("nowhere"))
    extract, config = pickle.loads(pickle.dumps((builder.extract, builder.builder_config)))
    assert extract.args == builder.extract.args
    assert config == builder.builder_config


@pytest.mark.parametrize("name", RECORDED)
def test_configurations_are_named_after_their_size_and_differ(name):
    configs = builder_class(name).BUILDER_CONFIGS
    assert configs[0].name == "112"
    assert all(each.name.split("_")[0] == str(each.size) for each in configs)
    assert len({each.description for each in configs}) == len(configs)


STAGES = ("tzirakis2021:resnet50_lstm,recola", "kollias2017:3rnn,gru,ccc,afew_va")


@pytest.mark.parametrize("row", [*ROWS, *STAGES])
def test_the_papers_configs_name_sets_that_can_be_built(row):
    config = config_of(row)
    builder = make_builder(config.data.name, pathlib.Path("nowhere"))
    assert builder.crop["size"] >= config.data.size
    if config.model.landmarks != "none":
        assert builder.points == config.model.landmark_points
