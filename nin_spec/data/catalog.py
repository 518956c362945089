"""The data sets known by name: description, authors and published files.

The URLs, sizes and SHA-256 checksums are those of tensorflow_datasets (url_checksums/); the MD5 sums that
torchvision and the authors of CIFAR publish belong to the same files. This module does not import numpy, so that `data
list` starts fast.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from nin_spec.data.faults import missing
from nin_spec.diagnostics import did_you_mean

ROOT_VARIABLE = "NIN_SPEC_DATA"


@dataclass(frozen=True, slots=True)
class Download:
    """A published file: its URLs in order of preference, its size in bytes and its checksum."""

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A known data set. `shape` is a picture's (C, H, W), `counts` are the pictures of (train, test)."""

    name: str
    title: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: tuple[int, int]
    source: str
    licence: str
    citation: str
    downloads: tuple[Download, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(d.size for d in self.downloads)


def data_root() -> Path:
    """The default folder of data sets: $NIN_SPEC_DATA, else nin-spec/data in the user's cache."""
    if given := os.environ.get(ROOT_VARIABLE):
        return Path(given)
    if given := os.environ.get("XDG_CACHE_HOME"):
        cache = Path(given)
    else:
        # Not Path.home(), which raises without a home folder.
        home = os.path.expanduser("~")  # noqa: PTH111
        cache = Path(home) / _CACHES.get(sys.platform, ".cache")
    return cache / "nin-spec" / "data"


_CACHES = {"darwin": "Library/Caches", "win32": "AppData/Local"}


def place_of(name: str) -> Path:
    """The folder of a known data set in the data root."""
    return data_root() / name


def entry_of(name: str) -> Entry:
    """The data set of that name. Raises DataError (DATA_MISSING), which names the nearest one."""
    if name not in CATALOG:
        raise missing(f"unknown data set {name!r}", did_you_mean(name, list(CATALOG)))
    return CATALOG[name]


def _each(bases: tuple[str, ...], *files: tuple[str, int, str]) -> tuple[Download, ...]:
    return tuple(Download(name, tuple(base + name for base in bases), size, sha) for name, size, sha in files)


_DIGITS = tuple("0123456789")
_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
_KRIZHEVSKY = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"

_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
"""CIFAR-100's fine labels, in the order of fine_label_names.txt."""

ENTRIES = (
    Entry(
        "digits",
        "Handwritten digits of 8x8 pixels",
        _DIGITS,
        (1, 8, 8),
        (1438, 359),
        "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        "CC BY 4.0",
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, doi:10.24432/C50P49",
    ),
    Entry(
        "mnist",
        "MNIST",
        _DIGITS,
        (1, 28, 28),
        (60_000, 10_000),
        "http://yann.lecun.com/exdb/mnist/",
        "CC BY-SA 3.0",
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-Based Learning Applied to Document Recognition, 1998",
        _each(
            ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
            (
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            ("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            ("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    Entry(
        "fashion_mnist",
        "Fashion-MNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (1, 28, 28),
        (60_000, 10_000),
        "https://github.com/zalandoresearch/fashion-mnist",
        "MIT",
        "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset, 2017, arXiv:1708.07747",
        _each(
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            (
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            ("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            ("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
    Entry(
        "cifar10",
        "CIFAR-10",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        (3, 32, 32),
        (50_000, 10_000),
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "none stated",
        _KRIZHEVSKY,
        _each(
            _TORONTO,
            (
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
    ),
    Entry(
        "cifar100",
        "CIFAR-100",
        tuple(_FINE.split()),
        (3, 32, 32),
        (50_000, 10_000),
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "none stated",
        _KRIZHEVSKY,
        _each(
            _TORONTO,
            (
                "cifar-100-binary.tar.gz",
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
    ),
    Entry(
        "svhn",
        "Street View House Numbers, cropped digits",
        _DIGITS,
        (3, 32, 32),
        (73_257, 26_032),
        "http://ufldl.stanford.edu/housenumbers/",
        "for non-commercial use only",
        "Y. Netzer and others, Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
        _each(
            ("http://ufldl.stanford.edu/housenumbers/",),
            ("train_32x32.mat", 182_040_794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
            ("test_32x32.mat", 64_275_384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
        ),
    ),
)

CATALOG = {entry.name: entry for entry in ENTRIES}
