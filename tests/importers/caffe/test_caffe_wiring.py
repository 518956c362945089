"""Which layers of a Caffe net run: the phases, the blobs written in place, what only measures."""

from __future__ import annotations

from pathlib import Path

import pytest
from caffe_nets import HEAD, conv, layer, net, written

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.caffe.file import read_net
from nin_spec.importers.caffe.importing import import_caffe
from nin_spec.importers.caffe.wiring import wire

TRAIN, TEST = "include { phase: TRAIN }", "include { phase: TEST }"


def path_of(text: str, folder: Path) -> list[str]:
    return [found.name for found in wire(read_net(written(folder, text))).path]


def test_the_net_of_testing_runs(tmp_path: Path) -> None:
    """Of layers for one phase, those for testing; dropout in place stays, since the language has it."""
    layers = [
        conv("c"),
        layer("TanH", "c", "", TRAIN, "a"),
        layer("Sigmoid", "c", "", TEST, "b"),
        layer("ReLU", "c", "", "exclude { phase: TEST }", "d"),
        layer("ELU", "c", "", "include { stage: 'deploy' }", "e"),
        layer("ELU", "c", "", "include { min_level: 1 }", "f"),
        layer("Dropout", "c", "", TRAIN, "drop"),
    ]
    assert path_of(net(*layers), tmp_path) == ["c", "b", "drop"]


def test_a_snapshot_of_training_alone_is_read_as_it_is(tmp_path: Path) -> None:
    text = f'layer {{ name: "d" type: "Data" top: "data" {TRAIN} }}' + conv("c") + layer("ReLU", "c", "", TRAIN, "r")
    assert path_of(text, tmp_path) == ["c", "r"]


def test_what_measures_the_scores_is_not_a_second_way(tmp_path: Path) -> None:
    """Losses and accuracies read the scores, also through a Split; other losses than ours are reported."""
    split = 'layer { name: "s" type: "Split" bottom: "gap" top: "one" top: "two" }\n'
    loss = 'layer { name: "l" type: "HingeLoss" bottom: "one" bottom: "label" top: "l" }\n'
    accuracy = 'layer { name: "acc" type: "Accuracy" bottom: "two" bottom: "label" top: "acc" }\n'
    data = 'layer { name: "y" type: "DummyData" top: "label" }\n'
    text = net(data, conv("c"), HEAD % "c", split, loss, accuracy, layer("Softmax", "two", "prob"))
    assert path_of(text, tmp_path) == ["c", "gap", "prob"]
    _, remarks = import_caffe(written(tmp_path, text))
    assert "ignored: l (HingeLoss); training uses cross-entropy" in remarks


def test_blobs_written_in_place_are_followed(tmp_path: Path) -> None:
    """A blob that is written again is another value; one that two layers write in turn forks nothing."""
    text = net(
        conv("c"), layer("ReLU", "c", "", "", "r1"), layer("TanH", "c", "t"), layer("Sigmoid", "t", "c", "", "s")
    )
    assert path_of(text, tmp_path) == ["c", "r1", "t", "s"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name: "x"', "it declares no layers"),
        (conv("c"), "no layer and no `input` provides its pictures"),
        (net(conv("c"), layer("ReLU", "c", "", f"{TEST} exclude {{ phase: TRAIN }}", "r")), "both include and exclude"),
        (net('layer { name: "z" type: "DummyData" top: "z" }', conv("c"), conv("d", "z")), "not on the path"),
        (net(conv("c"), 'layer { name: "e" type: "ReLU" bottom: "c" }'), "takes 1 blobs and outputs 0"),
        ('layer { name: "a" }', "it has no type"),
        (
            'input: "data" input_dim: 1 input_dim: 3 layer { type: "ReLU" bottom: "data" top: "y" }',
            r"shape \(1, 3\) is no",
        ),
        ('input: "a" input: "b" input_dim: 1 layer { type: "ReLU" }', "2 inputs and 1 shapes"),
        ('layer { type: "ReLU" } layers { type: RELU }', "both `layer` and `layers`"),
    ],
)
def test_what_is_not_a_chain_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ForeignModelError, match=message):
        import_caffe(written(tmp_path, text))
