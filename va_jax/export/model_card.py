"""MODEL_CARD.md: the passport of a network in words, for who is handed the folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from va_jax.evaluation.postprocess import Chain
from va_jax.report import tables

NAME = "MODEL_CARD.md"

RESTS_ON = {
    "causal": "A prediction rests on its own frame and all before it, through a state that is "
    "handed on.",
    "both_ways": "A prediction rests on frames before and behind its own.",
    "none": "A prediction rests on its own frame alone.",
}


def text(passport: Mapping[str, Any], config: ConfigDict) -> str:
    """The card of an export with that passport, whose run had that config."""
    sections = {
        "What it is": _network(passport, config),
        "What it takes": _input(passport),
        "What it gives": _output(passport),
        "How to use it": _use(passport),
        "What it was trained on": _data(passport),
        "How well it does": _scores(passport),
        "Post-processing": _post_processing(passport),
        "How this folder was checked": _checked(passport),
        "Limits": _limits(passport),
        "Licence": iter([passport["licence"]]),
    }
    lines = [f"# {_listed(passport['dims']).capitalize()} from the face in a video"]
    for title, paragraphs in sections.items():
        lines += [f"## {title}", *paragraphs]
    return "\n\n".join(lines) + "\n"


def comparisons(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of how far what was read again is from the network of the run."""
    lines = ["| read again | frames | [batch, time] | largest difference |", "|---|---|---|---:|"]
    lines += [
        f"| {row['artefact']} | {row['frames']} | [{row['batch']}, {row['time']}] | "
        f"{row['max_abs_difference']:.1e} |"
        for row in rows
    ]
    return "\n".join(lines)


def _network(passport: Mapping[str, Any], config: ConfigDict) -> Iterator[str]:
    model, (low, high) = config.model, passport["range"]
    parts = [f"{model.backbone} of width {model.width}"]
    if model.inflation.taps > 1:
        parts.append(f"{model.inflation.taps} frames a convolution")
    if model.recurrent != "none":
        ways = ", both ways in time" if model.bidirectional else ""
        parts.append(f"{model.recurrent.upper()} of {model.layers} x {model.units}{ways}")
    yield (
        f"A network that gives {_listed(passport['dims'])}, each from {low:g} to {high:g}, for "
        f"every frame of the face of one person in a video: {', '.join(parts)}. "
        f"{RESTS_ON[passport['temporal']]} `config.json` holds every key of its training, "
        "`passport.json` all that this page says, for machines."
    )


def _input(passport: Mapping[str, Any]) -> Iterator[str]:
    taken, crop, stride = passport["input"], passport["crop"], passport["stride"]
    size, points = taken["size"], taken["landmarks"]["points"]
    lines = [
        "| | type | shape | |",
        "|---|---|---|---|",
        f"| frames | uint8 | [batch, time, {size}, {size}, 3] | {taken['channels']}, 0 to 255 |",
        "| face | bool | [batch, time] | whether the frame shows the face |",
    ]
    if points:
        lines.append(
            f"| landmarks | float32 | [batch, time, {points}, 2] | x, y from -1 (left, top border) "
            "to 1; 0 where unknown |"
        )
    yield "\n".join(lines)
    yield (
        f"How the crops were made: faces {crop['source']}, margin {crop['margin']:g}, alignment "
        f"{crop['alignment']}, side {crop['size']} px, JPEG quality {crop['jpeg_quality']}. "
        f"The videos had {passport['fps']:g} frames a second"
        + (f", of which the network sees one in {stride} at a time" if stride > 1 else "")
        + "."
    )


def _output(passport: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"pred, float32 [batch, time, {len(passport['dims'])}]: {', '.join(passport['dims'])}, in "
        "this order. Values are not clipped."
    )


def _use(passport: Mapping[str, Any]) -> Iterator[str]:
    size, points = passport["input"]["size"], passport["input"]["landmarks"]["points"]
    evaluation = passport["evaluation"]
    how = "the state is carried along a track"
    if evaluation["state"] == "window":
        how = (
            f"windows of {evaluation['length']} frames every {evaluation['hop']}, fused by "
            f"{evaluation['fusion']}"
        )
    yield (
        "Of a video, with va_jax: faces are found, followed and cropped as for training.\n\n"
        "```\npython -m va_jax.predict FOLDER video.mp4\n```"
    )
    given = ", landmarks=landmarks" if points else ""
    yield (
        f"Of crops, with va_jax, as in its evaluation ({how}):\n\n"
        '```python\nimport va_jax\n\nmodel = va_jax.load("FOLDER")\n'
        f"pred = model(frames, face{given})  # uint8 [time, {size}, {size}, 3], bool [time]\n```"
    )
    more = ", landmarks" if points else ""
    yield (
        "Of crops, with JAX alone (`pip install jax flatbuffers`), as one window of any length"
        + (f"; feed every {_ordinal(passport['stride'])} frame" if passport["stride"] > 1 else "")
        + ":\n\n```python\nimport jax\nfrom jax import export\n\n"
        'with open("FOLDER/model.jaxexport", "rb") as file:\n'
        "    network = jax.jit(export.deserialize(bytearray(file.read())).call)\n"
        f"pred = network(frames, face{more})\n```"
    )
    if passport["stream_state"]:
        yield (
            "`stream.jaxexport` takes, behind these, the arrays of the state, float32 of shapes "
            + ", ".join(
                str(["batch", *shape]).replace("'", "") for shape in passport["stream_state"]
            )
            + ", zeros before the first frame, and gives them back behind pred: so a track is fed "
            "in pieces of any length."
        )
    elif passport["stream_state"] is None:
        yield "It cannot be fed piece by piece, for it sees frames to come."
    else:
        yield "It has no state: any piece of a track may be fed by itself."


def _data(passport: Mapping[str, Any]) -> Iterator[str]:
    data = passport["data"]
    frames = ", ".join(f"{count:,} frames in {split}" for split, count in data["frames"].items())
    versions = ", ".join(f"{name} {version}" for name, version in passport["versions"].items())
    yield (
        f"{data['name']}: {frames}; splits `{data['split_hash']}`. The parameters are those "
        f"of step {passport['checkpoint_step']:,}, the best by dev CCC. Exported with {versions}."
    )


def _scores(passport: Mapping[str, Any]) -> Iterator[str]:
    if passport["scores"] is None:
        yield "Not scored before it was exported."
        return
    yield (
        "As predicted, if no row says otherwise; intervals are over recordings. Oracles look at "
        "the labels that they are scored on. dev chose the checkpoint and the post-processing."
    )
    for split, card in passport["scores"].items():
        yield tables.markdown(split, card).rstrip()


def _post_processing(passport: Mapping[str, Any]) -> Iterator[str]:
    if passport["post_processing"] is None:
        yield "None was fitted."
        return
    chain = Chain.from_json(passport["post_processing"], "post_processing")
    yield (
        "Fitted on dev alone, kept in `postprocess.json`, and not part of the functions and arrays "
        "here:\n\n" + "\n".join(f"- {dim}: {words}" for dim, words in chain.words().items())
    )
    lags = [f"- {dim}: {_lag(curve.best_lag_s)}" for dim, curve in chain.curves.items()]
    if lags:
        yield "Lag of what is predicted, by the highest CCC on dev:\n\n" + "\n".join(lags)


def _checked(passport: Mapping[str, Any]) -> Iterator[str]:
    rows = passport["comparisons"]
    yield (
        "What was written was read again by another process, on the CPU, and compared with the "
        "network of the run; a difference above 1e-5 would have stopped the export."
    )
    yield comparisons(rows)
    if all(row["frames"] != "real" for row in rows):
        yield "Real frames were not tried: the data set was not at hand."


def _limits(passport: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "- It tells how people would label what a face shows, not what somebody feels.\n"
        f"- The scores hold for recordings like those of {passport['data']['name']}. Other "
        "cameras, light, ages, cultures, crops and frame rates are untried.\n"
        "- It is no ground for decisions about a person.\n"
        "- The serialised functions are read by JAX for about six months of new versions; the "
        "arrays in `model.safetensors` and `model.npz` stay readable."
    )


def _lag(lag_s: float) -> str:
    if not lag_s:
        return "in time with the labels"
    way = "behind" if lag_s > 0 else "ahead of"
    return f"{abs(lag_s):.2f} s {way} the labels"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
