"""A page for each rule: its reason, a bad and a good example, and the source.

The examples belong to a spec for 3 x 32 x 32 pictures of 10 classes; a test checks them against the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

from nin_spec.diagnostics import Code
from nin_spec.language.reference import markdown
from nin_spec.lint.rules import ABOUT_COMMENTS

HEAD = "spec: 1\nname: example\ninput: {channels: 3, size: 32}\nclasses: 10\n"
"""The first lines of an example's spec."""


@dataclass(frozen=True, slots=True)
class Page:
    """The documentation of a rule."""

    reason: str
    bad: str
    good: str
    source: str
    fix: str = ""


PAGES = {
    Code.SCORE_ACTIVATION: Page(
        "A class score is evidence for or against a class, so it must be able to be negative. A ReLU cuts the "
        "negative half off, and a class whose maps are negative everywhere gets no gradient: it is dead, often from "
        "the first steps. The paper and its author's networks have this ReLU nevertheless; they gave the last layer "
        "a low learning rate.",
        "blocks:\n  - {channels: [96, 96, classes], kernel: 11, padding: 5}\n",
        "blocks:\n  - {convs: [96, 96, {channels: classes, activation: none}], kernel: 11, padding: 5}\n",
        "Lin et al. 2013, section 3.2, sums the maps into the softmax; the issue trackers of five re-implementations "
        "report the dead start",
        "activation: none on that layer (changes the function)",
    ),
    Code.PADDED_POINTS: Page(
        "Windows that lie entirely in the padding see zeros and output the bias: a frame of constant cells around "
        "the maps, which later layers and the global average treat as signal. This happens if a 1x1 convolution "
        "inherits the padding of a 3x3 one.",
        "blocks:\n  - {convs: [64, {channels: 64, padding: 1}], kernel: 5, padding: 2}\n  - {channels: [classes], "
        "kernel: 3}\n",
        "blocks:\n  - {convs: [64, 64], kernel: 5, padding: 2}\n  - {channels: [classes], kernel: 3}\n",
        "Lin et al. 2013, section 3.1: the convolutions after the first are 1x1 and not padded",
        "padding: 0 on a 1x1 convolution (changes the function)",
    ),
    Code.STRIDE_SKIPS: Page(
        "A window that moves by more than its size leaves gaps: those cells are computed, but never read. Three "
        "quarters of the work before a 1x1 convolution of stride 2 is wasted.",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1}\n  - {channels: [classes], kernel: 1, stride: 2}\n",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1, stride: 2}\n  - {channels: [classes], kernel: 1}\n",
        "Krizhevsky et al. 2012, section 3.4: windows overlap where the stride is smaller than the kernel",
    ),
    Code.POOL_DROPS: Page(
        "A pool that rounds down ignores the rows and columns at the bottom and right that do not fill a whole "
        "window. Caffe and cuda-convnet round up, PyTorch and Keras down: the same layers and parameters compute a "
        "different function. Ports silently lose the edge, and some accuracy with weights trained the other way.",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1, pool: {kind: max, kernel: 3, stride: 2}}\n"
        "  - {channels: [classes], kernel: 3}\n",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1, pool: {kind: max, kernel: 3, stride: 2, ceil_mode: "
        "true}}\n  - {channels: [classes], kernel: 3}\n",
        "Caffe, pooling_layer.cpp; PyTorch, MaxPool2d: ceil_mode",
        "ceil_mode: true (changes the function)",
    ),
    Code.SCORE_DROPOUT: Page(
        "Dropout regularises features: there are many, and each is replaceable. After the class maps there is one "
        "number per class, and dropping it gives the loss a random answer.",
        "blocks:\n  - {channels: [64], kernel: 11, padding: 5}\n  - {channels: [classes], kernel: 11, padding: 5, "
        "dropout: 0.5}\n",
        "blocks:\n  - {channels: [64], kernel: 11, padding: 5, dropout: 0.5}\n  - {channels: [classes], kernel: 11, "
        "padding: 5}\n",
        "Lin et al. 2013, section 4.1: dropout on the outputs of all mlpconv layers but the last",
    ),
    Code.SINGLE_CELL: Page(
        "The global average is the network's own regulariser: each map must be consistent over the picture. With one "
        "cell left there is nothing to average, and the last layers see the whole picture, like a dense layer.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 8, pool: {kind: max, kernel: 4}}\n"
        "  - {channels: [classes], kernel: 1}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 8}\n  - {channels: [classes], kernel: 1}\n",
        "Lin et al. 2013, section 3.2",
    ),
    Code.SMALL_FIELD: Page(
        "A cell of the class maps decides by what it sees, and the global average only counts votes. An object "
        "larger than the receptive field is never seen as a whole. That is not a defect in itself: the published "
        "networks see 27 of "
        "32 pixels, and 195 of 224. `nin-spec build` shows the field of every layer.",
        "blocks:\n  - {channels: [64, 64], kernel: 5, padding: 2}\n  - {channels: [classes], kernel: 5, padding: 2}\n",
        "blocks:\n  - {channels: [64, 64], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3}\n",
        "Araujo et al. 2019, Computing receptive fields of convolutional neural networks",
    ),
    Code.USELESS_BIAS: Page(
        "Batch norm subtracts the mean of its batch, and with it any bias of the layer before; its own offset "
        "replaces it. The bias only costs memory and adds noise to the optimiser. Weights saved with the biases no "
        "longer "
        "fit a spec without them: fix it before training.",
        "defaults: {norm: batch}\nblocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, norm: none}], kernel: 7, padding: 3}\n",
        "defaults: {norm: batch, bias: false}\nblocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, norm: none, bias: true}], kernel: 7, padding: 3}\n",
        "Ioffe and Szegedy 2015, section 3.2",
        "bias: false beside the norm",
    ),
    Code.TWO_SOFTMAXES: Page(
        "A sigmoid or tanh keeps the scores between two small numbers, and a softmax of such scores can't be "
        "confident: with ten classes behind a sigmoid, no probability exceeds 23%. Learning slows down and stops "
        "early. "
        "The loss in training counts as a softmax. The network's own `output: softmax` is left out in training by "
        "`nin-spec train`; your own training loop must do the same.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\nhead: {activation: sigmoid, output: softmax}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\nhead: {output: softmax}\n",
        "PyTorch, CrossEntropyLoss: the input is expected to contain the unnormalized logits",
        "activation: none (changes the function)",
    ),
    Code.ODD_CHANNELS: Page(
        "Tensor cores multiply tiles of 8 channels and more in half precision. Other widths are padded with zeros, "
        "so 100 channels cost as much as 104, or fall back to slower kernels. The classes and the picture's channels "
        "are fixed, and widths below 8 are not worth a tile.",
        "blocks:\n  - {channels: [100], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\n",
        "blocks:\n  - {channels: [104], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\n",
        "NVIDIA, Convolutional Layers User's Guide: channels in and out divisible by 8 (16-bit) or 16 (8-bit)",
    ),
    Code.DEAD_START: Page(
        "Each layer multiplies the signal, and its gradient on the way back. PyTorch's default makes it 2.4 times "
        "smaller in each layer with a ReLU, and a NiN has nine or more: all pictures get the same scores, and the loss "
        "stays at ln(classes). He's initialisation keeps the size, batch norm restores it. The rule follows the mean "
        "square through the network, from pixels of typical spread, and reports it below one ten-thousandth. Adam "
        "divides a gradient by its size, and escapes after a while: with Adam in the recipe this is a note.",
        "blocks:\n  - {channels: [64, 64, 64, 64, 64, 64, 64, 64, 64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "defaults: {init: kaiming_normal}\nblocks:\n  - {channels: [64, 64, 64, 64, 64, 64, 64, 64, 64], kernel: 8, "
        "stride: 4}\n  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "He et al. 2015, section 2.2; the published CIFAR-10 network at 224 pixels reached 55.8% with the default and "
        "Adam, 73.5% with He's and SGD",
    ),
    Code.IDLE_ENTRY: Page(
        "A pattern with `*` may fit no parameter without an error, so that `*.bias` serves networks without biases, "
        "too. A misspelt one then does nothing, and training runs without its multiplier. Entries of "
        "`lr_multipliers` that later ones override or whose parameters are all frozen, `no_decay` without weight "
        "decay, milestones at or after the last epoch, a random crop of pictures no larger than the input, and the "
        "saturation of gray pictures change nothing either. A pattern of general words only, such as `*.bias`, is a "
        "note.",
        "blocks:\n  - {name: stem, channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: "
        "none}], kernel: 7, padding: 3}\ntrain:\n  {dataset: cifar10, epochs: 9, optimizer: adam, lr_multipliers: "
        '{"stern.*": 0.1}}\n',
        "blocks:\n  - {name: stem, channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: "
        "none}], kernel: 7, padding: 3}\ntrain:\n  {dataset: cifar10, epochs: 9, optimizer: adam, lr_multipliers: "
        '{"stem.*": 0.1}}\n',
        "the language reference, Recipe: the last match counts",
    ),
    Code.TWO_SCALES: Page(
        "The resize sets the scale of objects. With `train.resize: 256` for an input of 224 the network learns "
        "from crops of larger pictures, while evaluation, `run` and the server resize to 224: objects are then 12% "
        "smaller than in training. Set the resize once, in `input.preprocess.resize`, and every command uses it; "
        "`augment: {crop: true}` makes the crops of training random. An open input without such a resize is a note: "
        "training and evaluation resize to the nominal size, while `run` and the server do not resize.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: none}], "
        "kernel: 7, padding: 3}\ntrain: {dataset: cifar10, epochs: 9, optimizer: adam, resize: 40}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: none}], "
        "kernel: 7, padding: 3}\ntrain: {dataset: cifar10, epochs: 9, optimizer: adam, resize: 32}\n",
        "Touvron et al. 2019, Fixing the train-test resolution discrepancy",
    ),
    Code.CROSS_PURPOSES: Page(
        "A cosine or a one-cycle schedule lowers the learning rate until the last epoch, and much accuracy comes "
        "with the low rates at its end. An early end by `patience` or `time_limit` cuts this end off. A time limit is "
        "only a note, for it may never be reached. `balance: sampling` already shows the pictures of each class "
        "equally often, so that class weights for the same imbalance favour rare classes twice.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: none}], "
        "kernel: 7, padding: 3}\ntrain:\n  {dataset: cifar10, epochs: 90, optimizer: adam, schedule: cosine, "
        "validation: 0.1, patience: 5}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: none}], "
        "kernel: 7, padding: 3}\ntrain:\n  {dataset: cifar10, epochs: 90, optimizer: adam, schedule: constant, "
        "validation: 0.1, patience: 5}\n",
        "Loshchilov and Hutter 2017, SGDR; Smith and Topin 2018, Super-convergence",
    ),
    Code.UNUSED_IGNORE: Page(
        "The comment suppresses a rule that finds nothing there: the network has changed, or the comment is not on "
        "the line of the finding. If it stayed, it would hide the next finding.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}  # nin: ignore[NIN904]\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "common practice of linters",
        "remove the comment",
    ),
    Code.UNKNOWN_IGNORE: Page(
        "The comment does not name a known rule, and suppresses nothing. Errors can't be suppressed.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}  # nin: ignore[NIN94]\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "common practice of linters",
    ),
}

_WIDTH = 110
"""Width of a page in characters."""

_INTRODUCTION = """\
## Lint

`nin-spec check` also reports what is legal but probably unintended. A warning is likely a mistake, a note is advice;
neither stops a command, but `check --strict` exits 1 for warnings. `check --explain NIN901` prints one of these pages.
To suppress a finding, write a comment with the reason on its line, on a separate line above, or, for the whole network,
at the top of the file:

    channels: [192, 192, classes]     # nin: ignore[NIN901] as published

`check --fix` applies the fixes that preserve what the network can compute; `--unsafe-fixes` also those that change it.
"""


def explain(code: Code) -> str:
    """The page of a rule's code; for any other code, its meaning."""
    page = PAGES.get(code)
    head = f"{code.code}: {code.meaning}\n"
    return head if page is None else f"{head}\n{_body(page, code)}"


def reference_page() -> str:
    """The language's reference, followed by all pages."""
    sections = [f"### {code.code}: {code.meaning}\n\n{_body(page, code)}" for code, page in PAGES.items()]
    return "\n".join([markdown(), _INTRODUCTION, *sections])


def _body(page: Page, code: Code) -> str:
    """Reason, examples, fix, source, and how to suppress it."""
    lines = [_filled(page.reason), "Instead of\n", _indented(page.bad), "write\n", _indented(page.good)]
    lines += [f"Fix: {page.fix}.\n"] if page.fix else []
    lines += [_filled(f"Source: {page.source}.")]
    lines += [f"Silence: `# nin: ignore[{code.code}] why`.\n"] if code not in ABOUT_COMMENTS else []
    return "\n".join(lines)


def _filled(text: str) -> str:
    return fill(text, _WIDTH, break_on_hyphens=False) + "\n"


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
