"""Caffe's format: its .proto, as far as an import reads it, and the module that the compiler makes of it, as `messages`."""

from __future__ import annotations

from typing import Any

from nin_spec.importers.caffe_proto import caffe_net_pb2

messages: Any = caffe_net_pb2
"""The generated classes exist at run time only."""
