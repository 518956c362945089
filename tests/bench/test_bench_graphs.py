"""The bars of `make bench-graphs`: judged as they are written, on results made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import bench_graphs
import bench_kernels
import pytest

import nin_spec
from nin_spec.bench.figures import Spread, spread_of
from nin_spec.bench.results import Failure, Measurements, Opened, Result, Settings

FACTS = {"device": "cpu", "precision": "float32"}
STARTS = {"cpu": spread_of([0.2, 0.3, 0.4])}


def result(
    times: Mapping[str, float], share: float = 0.95, batches: tuple[int, ...] = (1, 64), ours: str = "nin-spec"
) -> Result:
    """A network whose contenders take so many seconds an image, ours reaching a share of the peak."""
    measured = Measurements(ours, [Opened(name, "", FACTS, 0.1, torch=False) for name in times])
    for batch in batches:
        for name, seconds in times.items():
            measured.turns[name, batch] = [[seconds * batch] * 3] * 2
            measured.first[name, batch] = 1.0
        measured.turns["peak", batch] = [[times[ours] * share * batch]] * 2
    # A peak that does in one run what the network does in a batch of 64.
    measured.opened.append(Opened("peak", "", FACTS | {"operations": 2 * 64 * 1000}, 0.1, torch=True, is_peak=True))
    settings = Settings(batches, 1)
    lines = measured.lines(batches, 1000)
    return Result(
        "net", "", (3, 32, 32), 1000, {}, settings, measured.opened, measured.peaks(), lines, [], [], complete=True
    )


GOOD = {"nin-spec": 0.9, "torch-export": 1.0, "torch-compile": 1.2, "torch": 1.8, "bare": 0.895}


OLD = bench_graphs.lacks((), "")
"""A processor without the instructions that some bars are about."""


def judge(
    found: Mapping[str, Result], starts: Mapping[str, Spread] = STARTS, lacking: Mapping[str, str] = OLD
) -> dict[str, str]:
    """Each bar's verdict by its name."""
    return {bar.what.strip(): bar.verdict for bar in bench_graphs.bars(found, starts, lacking)}


def test_all_hold_where_all_is_well() -> None:
    """And what this processor has no instructions for isn't judged, with the reason."""
    verdicts = judge({"nin_cifar": result(GOOD)})
    held = [what for what, verdict in verdicts.items() if verdict == "holds"]
    assert len(held) == 7
    lacking = [verdict for verdict in verdicts.values() if verdict != "holds"]
    assert len(lacking) == 3
    assert all(verdict.startswith("not judged here: this CPU has none of") for verdict in lacking)


@pytest.mark.parametrize(
    ("change", "bars"),
    [
        ({"torch-export": 0.93}, {"nin_cifar"}),
        ({"torch-export": 0.89}, {"nin_cifar", "nin-spec / torch.onnx.export's graph"}),
        ({"torch-compile": 1.05}, {"nin-spec / torch.compile"}),
        ({"torch": 1.4}, {"nin-spec / eager PyTorch"}),
        ({"bare": 0.88}, {"nin-spec / bare InferenceSession, batch 1"}),
    ],
)
def test_each_bar_is_missed_by_its_own_peer(change: dict[str, float], bars: set[str]) -> None:
    """A peer that is too fast, and no other bar with it."""
    verdicts = judge({"nin_cifar": result(GOOD | change)})
    assert {what for what, verdict in verdicts.items() if verdict == "MISSED"} == bars


def test_the_peak_and_the_start_are_judged() -> None:
    """0.89 of the peak is too little, half a second too slow."""
    verdicts = judge({"nin_cifar": result(GOOD, share=0.89)}, {"auto": spread_of([0.5])})
    assert verdicts["nin_cifar, batch 64: share of the float32 peak"] == "MISSED"
    assert verdicts["start of a session on auto, seconds"] == "MISSED"


def test_a_bar_that_was_not_measured_is_not_a_success() -> None:
    """As where the contender failed."""
    without = {name: seconds for name, seconds in GOOD.items() if name != "torch-compile"}
    assert judge({"nin_cifar": result(without)})["nin-spec / torch.compile"] == "NOT MEASURED"
    found = bench_graphs.bars({"nin_cifar": result(without)}, STARTS, OLD)
    assert [bar.what for bar in found if bar.missed] == ["nin-spec / torch.compile"]
    fast = judge({"nin_cifar": result(GOOD)}, lacking=bench_graphs.lacks(["amx_bf16"], ""))
    assert fast["nin_cifar, batch 64, OpenVINO: share of the bfloat16 peak"] == "NOT MEASURED"


def test_what_beats_the_machines_own_peak_does_not_count() -> None:
    """Nothing computes faster than the machine can: it changed its speed between two measured."""
    found = {"nin_cifar": result(GOOD | {"torch": 1.0}, 1.5, (64,)), "nin_svhn": result(GOOD)}
    judged = {bar.what.strip(): bar for bar in bench_graphs.bars(found, STARTS, OLD)}
    assert judged["nin_cifar"].verdict == "not judged here: the machine changed its speed"
    assert judged["nin_cifar, batch 64: share of the float32 peak"].verdict.startswith("not judged here")
    eager = judged["nin-spec / eager PyTorch"]
    assert eager.figure == pytest.approx(0.5)
    assert (eager.verdict, eager.of) == ("holds", 2)
    assert any("nin_cifar: batches of 64 don't count" in line for line in bench_graphs.troubles(found))


def test_a_device_that_is_not_here_takes_no_part() -> None:
    """A processor of another maker computes in bfloat16, and OpenVINO serves it not: neither entered nor judged."""
    lacking = bench_graphs.lacks(["avx512_bf16", "avx512_vnni"], "its plug-in finds no hardware")
    labels = [entry.label for entry in bench_graphs.entries("nin_cifar", lacking, "int8.onnx")]
    assert labels == ["nin-spec", *bench_graphs.AGAINST, bench_graphs.INT8]
    verdicts = judge({"nin_cifar": result(GOOD)}, lacking=lacking)
    verdict = verdicts["nin_cifar, batch 64, OpenVINO: share of the bfloat16 peak"]
    assert verdict == "not judged here: this CPU has none of amx_bf16"
    assert bench_graphs.OPENVINO in [
        entry.label for entry in bench_graphs.entries("nin_cifar", bench_graphs.lacks(["amx_bf16"], ""), None)
    ]


def test_what_onnxruntime_makes_of_two_files_is_compared_node_by_node() -> None:
    """By kernels and their windows; differences name both, what is equal takes one line."""
    ours = ["Conv kernel_shape=[5, 5]", "GlobalAveragePool", "Flatten"]
    theirs = ["Conv kernel_shape=[5, 5]", "ReduceMean", "Reshape"]
    assert bench_kernels.difference(ours, theirs) == "GlobalAveragePool, Flatten for ReduceMean, Reshape"
    assert bench_kernels.difference(ours, ours) == ""
    assert bench_kernels.difference(["Conv kernel_shape=[3, 3]"], ["Conv kernel_shape=[5, 5]"]) == "Conv for Conv"
    assert bench_kernels.difference(ours[:1], ours) == "nothing for GlobalAveragePool, Flatten"
    assert bench_kernels.same_kernels({"a": "", "b": "x for y", "c": "", "d": "x for y"}) == [
        "onnxruntime runs the same kernels, as for torch.onnx.export's graph: a, c",
        "onnxruntime runs the same kernels but x for y, as for torch.onnx.export's graph: b, d",
    ]


def test_the_kernels_of_a_file_are_those_of_its_optimised_graph(tmp_path: Path) -> None:
    """A ReLU behind a convolution is part of it."""
    nin_spec.export(nin_spec.compile("nin_digits").initialise(), "onnx", tmp_path / "d.onnx", parity=False)
    found = bench_kernels.kernels_of(tmp_path / "d.onnx")
    assert any(each.startswith("Conv kernel_shape=[3, 3]") for each in found)
    assert not any(each.startswith("Relu") for each in found)


def test_means_are_geometric_over_specs_and_batches() -> None:
    """A ratio of a half in one spec and of two in another come to one."""
    found = {"nin_mnist": result(GOOD | {"torch-export": 1.8}), "nin_svhn": result(GOOD | {"torch-export": 0.45})}
    bar = bench_graphs.bars(found, STARTS, OLD)[0]
    assert bar.figure == pytest.approx(1.0)
    assert bar.of == 4


def test_specs_with_a_ceil_mode_average_have_a_bar_of_their_own() -> None:
    """Known by their graph, and nin_cifar by its name."""
    names = ("nin_cifar", "nin_cifar_bn", "nin_mnist", "nin_fashion_mnist")
    assert [name for name in names if bench_graphs.rounds_up(name)] == [
        "nin_cifar",
        "nin_cifar_bn",
        "nin_fashion_mnist",
    ]


def test_one_network_under_two_names_is_measured_once() -> None:
    """Two recipes for one network don't count twice in a mean; another input size is another measurement."""
    kept, same = bench_graphs.distinct(["seed_cifar10_at_224", "nin_mnist", "seed_cifar10_at_224_sgd"])
    assert (kept, same) == (["seed_cifar10_at_224", "nin_mnist"], ["seed_cifar10_at_224_sgd"])


def test_what_int8_is_measured_on_is_nin_cifar() -> None:
    """Another recipe, the same function: its weights are nin_cifar's, and so is the time."""
    recipe = Path(bench_graphs.__file__).with_name("nin_cifar_fashion.yaml")
    assert nin_spec.compile(recipe).hash == nin_spec.compile("nin_cifar").hash


def test_openvino_is_judged_on_amx_alone() -> None:
    """Its bars here were set on such a machine; on another one it takes part."""
    found = {"nin_cifar": result(GOOD | {bench_graphs.OPENVINO: 0.2})}
    bar = "nin_cifar, batch 1: OpenVINO in bfloat16 / CPU provider"
    assert judge(found, lacking=bench_graphs.lacks(["amx_bf16"], ""))[bar] == "holds"
    other = bench_graphs.lacks(["avx512_bf16"], "")
    assert judge(found, lacking=other)[bar] == "not judged here: this CPU has none of amx_bf16"
    assert bench_graphs.OPENVINO in [entry.label for entry in bench_graphs.entries("nin_cifar", other, None)]


def test_other_runtimes_are_reported_with_a_mean_and_where_they_are_faster() -> None:
    """Without a bar: a figure for whoever chooses a runtime."""
    found = {"a": result(GOOD | {"mnn": 1.8, "openvino": 0.45}), "b": result(GOOD | {"openvino": 1.8})}
    assert bench_graphs.others(found) == [
        "nin-spec / openvino: 1.000, the geometric mean of 4",
        "openvino takes less time than nin-spec on a 0.50 at 1, 0.50 at 64",
        "nin-spec / mnn: 0.500, the geometric mean of 2",
    ]
    assert bench_graphs.others({"a": result(GOOD)}) == []


def test_a_failure_is_reported_with_its_output() -> None:
    """The spec, the contender, the batch, the reason and its last words."""
    found = replace(result(GOOD), failures=[Failure("torch", 8, "it exited with status 1", "MemoryError")])
    (told,) = bench_graphs.troubles({"nin_cifar": found})
    assert told == "FAILED nin_cifar, torch, batch 8: it exited with status 1\nMemoryError"


def test_what_is_true_of_all_is_reported_once() -> None:
    """A busy machine is one remark; what concerns one spec bears its name."""
    busy, own = replace(result(GOOD), remarks=["busy"]), replace(result(GOOD), remarks=["busy", "restless"])
    assert bench_graphs.troubles({"a": busy, "b": own}) == ["busy", "b: restless"]


def test_a_contender_that_is_left_out_is_not_judged() -> None:
    """Asked for some alone, the others are neither run nor missed."""
    given = bench_graphs.options(["--against", "openvino,mnn"])
    labels = [entry.label for entry in bench_graphs.entries("nin_svhn", OLD, None, given.against)]
    assert labels == ["nin-spec", "openvino", "mnn"]
    found = bench_graphs.bars({"nin_svhn": result({"nin-spec": 1.0})}, STARTS, OLD, against=given.against)
    assert [bar.verdict for bar in found if bar.figure is None] == [
        f"not judged here: without --against {name}" for name in ("torch-export", "torch-compile", "torch", "bare")
    ]
    with pytest.raises(SystemExit):
        bench_graphs.options(["--against", "abacus"])


def test_quick_runs_little_and_judges_nothing() -> None:
    """What is said beside it still counts."""
    given = bench_graphs.options(["--quick", "--batches", "1,2"])
    assert (given.specs, given.batches, given.turns) == (["nin_digits"], [1, 2], 2)
    judged = bench_graphs.bars({"nin_cifar": result(GOOD)}, STARTS, OLD, "--quick")
    assert {bar.verdict for bar in judged} == {"not judged here: --quick"}
