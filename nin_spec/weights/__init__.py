"""Weights: initialised, saved and loaded, ours or another framework's. Loads torch for .pt files only."""

from nin_spec.schemes import Init, Scheme
from nin_spec.weights.adopt import Adoption, adopt
from nin_spec.weights.initial import initialise
from nin_spec.weights.storage import load, load_hashed, read, save, sealed_file, weights_file
from nin_spec.weights.transfer import Transfer, labels_entry, labels_of, transfer

__all__ = [
    "Adoption",
    "Init",
    "Scheme",
    "Transfer",
    "adopt",
    "initialise",
    "labels_entry",
    "labels_of",
    "load",
    "load_hashed",
    "read",
    "save",
    "sealed_file",
    "transfer",
    "weights_file",
]
