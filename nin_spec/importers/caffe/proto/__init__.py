"""Caffe's format, as far as an import reads it: the .proto, and the module that the compiler makes of it."""

from __future__ import annotations

from typing import Any

from nin_spec.importers.caffe.proto import caffe_net_pb2

messages: Any = caffe_net_pb2
"""The generated classes exist only at run time."""
