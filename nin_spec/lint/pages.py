"""Why each rule is there: what it costs, an example of it and of better, and where the reason comes from.

The examples are parts of a spec that reads 3 x 32 x 32 pictures of 10 classes; a test holds them to the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

from nin_spec.diagnostics import Code
from nin_spec.language.reference import markdown
from nin_spec.lint.rules import ABOUT_COMMENTS

HEAD = "spec: 1\nname: example\ninput: {channels: 3, size: 32}\nclasses: 10\n"
"""What an example's spec begins with."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is known about a rule."""

    reason: str
    bad: str
    good: str
    source: str
    fix: str = ""


PAGES = {
    Code.SCORE_ACTIVATION: Page(
        "A class score says for or against, so it must be free to be negative. A ReLU cuts that half off, and a class "
        "whose maps are negative everywhere gets no gradient any more: it is dead, often from the first steps on. The "
        "paper and its author's networks have this ReLU all the same; they helped themselves with a slow last layer.",
        "blocks:\n  - {channels: [96, 96, classes], kernel: 11, padding: 5}\n",
        "blocks:\n  - {convs: [96, 96, {channels: classes, activation: none}], kernel: 11, padding: 5}\n",
        "Lin et al. 2013, section 3.2, sums the maps into the softmax; trackers of five re-implementations tell of "
        "the dead start",
        "activation: none on that layer (changes the function)",
    ),
    Code.PADDED_POINTS: Page(
        "Windows that lie in the padding alone see zeros and give the bias: a frame of constant cells around the maps, "
        "which later layers and the global average take for signal. It happens where a 1x1 convolution inherits the "
        "padding of a 3x3 one.",
        "blocks:\n  - {convs: [64, {channels: 64, padding: 1}], kernel: 5, padding: 2}\n  - {channels: [classes], "
        "kernel: 3}\n",
        "blocks:\n  - {convs: [64, 64], kernel: 5, padding: 2}\n  - {channels: [classes], kernel: 3}\n",
        "Lin et al. 2013, section 3.1: the convolutions after the first are 1x1, and are not padded",
        "padding: 0 on a 1x1 convolution (changes the function)",
    ),
    Code.STRIDE_SKIPS: Page(
        "A window that moves by more than it covers leaves gaps: those cells were computed, and nothing reads them. "
        "Three quarters of the work before a 1x1 convolution of stride 2 are for nothing.",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1}\n  - {channels: [classes], kernel: 1, stride: 2}\n",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1, stride: 2}\n  - {channels: [classes], kernel: 1}\n",
        "Krizhevsky et al. 2012, section 3.4: windows overlap where the stride is smaller than the kernel",
    ),
    Code.POOL_DROPS: Page(
        "A pool that rounds down ignores the rows and columns at the bottom and right that fill no whole window. Caffe "
        "and cuda-convnet round up, PyTorch and Keras down: the same layers, the same parameters, another function. "
        "Ports lose the edge without noticing, and a little accuracy with weights that were trained otherwise.",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1, pool: {kind: max, kernel: 3, stride: 2}}\n"
        "  - {channels: [classes], kernel: 3}\n",
        "blocks:\n  - {channels: [64], kernel: 3, padding: 1, pool: {kind: max, kernel: 3, stride: 2, ceil_mode: "
        "true}}\n  - {channels: [classes], kernel: 3}\n",
        "Caffe, pooling_layer.cpp; PyTorch, MaxPool2d: ceil_mode",
        "ceil_mode: true (changes the function)",
    ),
    Code.SCORE_DROPOUT: Page(
        "Dropout regularises features: many of them, each replaceable. Behind the class maps there is one number for "
        "each class, and dropping it gives the loss a random answer.",
        "blocks:\n  - {channels: [64], kernel: 11, padding: 5}\n  - {channels: [classes], kernel: 11, padding: 5, "
        "dropout: 0.5}\n",
        "blocks:\n  - {channels: [64], kernel: 11, padding: 5, dropout: 0.5}\n  - {channels: [classes], kernel: 11, "
        "padding: 5}\n",
        "Lin et al. 2013, section 4.1: dropout on the outputs of all mlpconv layers but the last",
    ),
    Code.SINGLE_CELL: Page(
        "The global average is the network's own regulariser: it makes each map agree over the picture. With one cell "
        "left there is nothing to average, and the last layers see the whole picture as a dense layer would.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 8, pool: {kind: max, kernel: 4}}\n"
        "  - {channels: [classes], kernel: 1}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 8}\n  - {channels: [classes], kernel: 1}\n",
        "Lin et al. 2013, section 3.2",
    ),
    Code.SMALL_FIELD: Page(
        "A cell of the class maps decides by what it sees, and the global average only counts votes. What is larger "
        "than the receptive field is never seen as a whole. That is no fault as such: the published networks see 27 of "
        "32 pixels, and 195 of 224. `nin-spec build` shows the field of every layer.",
        "blocks:\n  - {channels: [64, 64], kernel: 5, padding: 2}\n  - {channels: [classes], kernel: 5, padding: 2}\n",
        "blocks:\n  - {channels: [64, 64], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3}\n",
        "Araujo et al. 2019, Computing receptive fields of convolutional neural networks",
    ),
    Code.USELESS_BIAS: Page(
        "Batch norm subtracts the mean of its batch, and with it any bias of the layer before. Its own offset does the "
        "same work. The bias only takes memory, and noise in the optimiser. Weights saved with the biases no longer "
        "fit a spec without them: fix it before training.",
        "defaults: {norm: batch}\nblocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, norm: none}], kernel: 7, padding: 3}\n",
        "defaults: {norm: batch, bias: false}\nblocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, norm: none, bias: true}], kernel: 7, padding: 3}\n",
        "Ioffe and Szegedy 2015, section 3.2",
        "bias: false beside the norm",
    ),
    Code.TWO_SOFTMAXES: Page(
        "A sigmoid or tanh keeps the scores between two small numbers, and a softmax of such scores can't be sure of "
        "anything: with ten classes behind a sigmoid, no probability exceeds 23%. Learning slows down and stops early. "
        "The loss in training counts as a softmax. The network's own `output: softmax` is left out in training by "
        "`nin-spec train`; a loop of your own must do so, too.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\nhead: {activation: sigmoid, output: softmax}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\nhead: {output: softmax}\n",
        "PyTorch, CrossEntropyLoss: the input is expected to contain the unnormalized logits",
        "activation: none (changes the function)",
    ),
    Code.ODD_CHANNELS: Page(
        "Tensor cores multiply tiles of 8 channels and more in half precision. Other widths are filled up with zeros, "
        "so 100 channels cost what 104 do, or fall back to slower kernels. The classes and the picture's channels are "
        "what they are, and widths below 8 are not worth a tile.",
        "blocks:\n  - {channels: [100], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\n",
        "blocks:\n  - {channels: [104], kernel: 8, stride: 4}\n  - {channels: [classes], kernel: 7, padding: 3, "
        "activation: none}\n",
        "NVIDIA, Convolutional Layers User's Guide: channels in and out divisible by 8 (16-bit) or 16 (8-bit)",
    ),
    Code.DEAD_START: Page(
        "Each layer multiplies the signal, and its gradient on the way back. PyTorch's default makes it 2.4 times "
        "smaller in each rectified layer, and a NiN has nine and more: all pictures get the same scores, and the loss "
        "stays at ln(classes). He's initialisation keeps the size, batch norm restores it. The rule follows the mean "
        "square through the network, from pixels of usual spread, and speaks up below a ten-thousandth. "
        "Adam divides a gradient by its own size, and gets away after a while: with it in the recipe this is a note.",
        "blocks:\n  - {channels: [64, 64, 64, 64, 64, 64, 64, 64, 64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "defaults: {init: kaiming_normal}\nblocks:\n  - {channels: [64, 64, 64, 64, 64, 64, 64, 64, 64], kernel: 8, "
        "stride: 4}\n  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "He et al. 2015, section 2.2; the published CIFAR-10 network at 224 pixels reached 55.8% with the default and "
        "Adam, 73.5% with He's and SGD",
    ),
    Code.IDLE_ENTRY: Page(
        "A pattern with `*` may fit no parameter without an error, so that `*.bias` serves networks without biases, "
        "too. A misspelt one then does nothing, and training runs without the multiplier that it should have given. "
        "Entries of `lr_multipliers` that later ones overrule, `no_decay` without weight decay, milestones at or after "
        "the last epoch, and a random crop of pictures no larger than the input change nothing either. A pattern of "
        "general words alone, such as `*.bias`, is a note.",
        "blocks:\n  - {name: stem, channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: "
        "none}], kernel: 7, padding: 3}\ntrain:\n  {dataset: cifar10, epochs: 9, optimizer: adam, lr_multipliers: "
        '{"stern.*": 0.1}}\n',
        "blocks:\n  - {name: stem, channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: "
        "none}], kernel: 7, padding: 3}\ntrain:\n  {dataset: cifar10, epochs: 9, optimizer: adam, lr_multipliers: "
        '{"stem.*": 0.1}}\n',
        "the language reference, Recipe: the last entry that fits counts",
    ),
    Code.TWO_SCALES: Page(
        "An object is as large as the resize makes it. With `train.resize: 256` for an input of 224 the network learns "
        "from crops of larger pictures, while evaluation, `run` and the server resize to 224: what they show is 12% "
        "smaller than what it learned. Set the resize once, in `input.preprocess.resize`, and every command does the "
        "same; `augment: {crop: true}` makes the crops of training random. An open input without such a resize is a "
        "note: training and evaluation resize to the nominal size, and `run` and the server take pictures as they are.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: none}], "
        "kernel: 7, padding: 3}\ntrain: {dataset: cifar10, epochs: 9, optimizer: adam, resize: 40}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n  - {convs: [{channels: classes, activation: none}], "
        "kernel: 7, padding: 3}\ntrain: {dataset: cifar10, epochs: 9, optimizer: adam, resize: 32}\n",
        "Touvron et al. 2019, Fixing the train-test resolution discrepancy",
    ),
    Code.UNUSED_IGNORE: Page(
        "The comment silences a rule that finds nothing there: the network has changed, or the comment stands on "
        "another line than the finding. Left alone, it would hide the next one.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}  # nin: ignore[NIN904]\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "as other linters do",
        "the comment is removed",
    ),
    Code.UNKNOWN_IGNORE: Page(
        "The comment names no rule, or none that there is, and silences nothing. Errors can't be silenced.",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}  # nin: ignore[NIN94]\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "blocks:\n  - {channels: [64], kernel: 8, stride: 4}\n"
        "  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}\n",
        "as other linters do",
    ),
}

_WIDTH = 110
"""Columns of a page."""

_INTRODUCTION = """\
## Lint

`nin-spec check` also tells what is legal and probably not meant. A warning is likely a mistake, a note is
advice; neither stops a command, and `check --strict` exits 1 for warnings. `check --explain NIN901` prints one
of these pages. A finding is silenced, with the reason, on its line, on a line of its own above, or for the
whole network at the top of the file:

    channels: [192, 192, classes]     # nin: ignore[NIN901] as published

`check --fix` makes the fixes that keep what the network can compute; `--unsafe-fixes` those that change it, too.
"""


def explain(code: Code) -> str:
    """The page of a code; for one without rule, what it stands for."""
    page = PAGES.get(code)
    head = f"{code.code}: {code.meaning}\n"
    return head if page is None else f"{head}\n{_body(page, code)}"


def reference_page() -> str:
    """The language's reference with all pages at its end."""
    sections = [f"### {code.code}: {code.meaning}\n\n{_body(page, code)}" for code, page in PAGES.items()]
    return "\n".join([markdown(), _INTRODUCTION, *sections])


def _body(page: Page, code: Code) -> str:
    """Reason, examples, fix, source, and how to silence it."""
    lines = [_filled(page.reason), "Instead of\n", _indented(page.bad), "write\n", _indented(page.good)]
    lines += [f"Fix: {page.fix}.\n"] if page.fix else []
    lines += [_filled(f"Source: {page.source}.")]
    lines += [f"Silence: `# nin: ignore[{code.code}] why`.\n"] if code not in ABOUT_COMMENTS else []
    return "\n".join(lines)


def _filled(text: str) -> str:
    return fill(text, _WIDTH, break_on_hyphens=False) + "\n"


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
