"""Device options: one frozen model of options for each provider, with good defaults.

onnxruntime takes strings, and providers ignore unknown ones. Here an unknown name or value is an error that lists the
valid ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, DirectoryPath, Field, ValidationError, model_validator

from nin_spec.diagnostics import Code, DeviceError, Diagnostic, nearest
from nin_spec.option_values import by_comma
from nin_spec.runtime.plugins import SOFTWARE_ADAPTER

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a session: its precision, its threads, the file's input if known, and whether a plug-in computes."""

    precision: str
    threads: int
    input_name: str = ""
    input_shape: Shape = ()
    plugged: bool = False


class DeviceOptions(BaseModel):
    """A provider without options. Subclasses add fields, and map them to onnxruntime's options."""

    # Built on first use: a session needs one of these models, not all.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def for_provider(self, use: Use) -> dict[str, str]:
        """The provider's options, as strings."""
        return {}

    def for_session(self) -> dict[str, str]:
        """Entries of the session's configuration."""
        # Spin inside a run, where it saves wake-ups, but not between runs, where it wastes a core.
        return {"session.force_spinning_stop": "1"}

    def asked_precision(self) -> str | None:
        """The precision that an option requests."""
        return None

    def remarks(self, precision: str) -> tuple[str, ...]:
        """Remarks on the precision of results with these options."""
        return ()

    def batches(self) -> tuple[int, ...]:
        """Batch sizes with preallocated buffers; () if each run binds its own."""
        return ()

    def fixed_sizes(self) -> bool:
        """Whether a new batch size triggers a search, so that padding to a few sizes pays off."""
        return True

    def buffers(self) -> tuple[str, int]:
        """The memory of such buffers, in onnxruntime's terms, and the device's number."""
        return "cpu", 0

    def hardware(self) -> str | None:
        """The kind of hardware for a plug-in: CPU, GPU, NPU; None for its best."""
        return None

    def takes_software(self) -> bool:
        """Whether a graphics adapter may be software, which computes on the CPU."""
        return False


Batches = Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], BeforeValidator(by_comma), Field(min_length=1)]
Arithmetic = Literal["float32", "float16", "bfloat16"]


BRIEF_US = "1000"
"""Duration of `brief` spinning: longer than the gap between consecutive batches."""


class CpuOptions(DeviceOptions):
    """onnxruntime's own kernels on the CPU."""

    spinning: Literal["brief", "run", "never", "always"] = Field(
        # Waking up a sleeping thread costs the next run 5% of a small network's time at batch 1.
        "brief",
        description="when idle threads spin for lower latency: during a run and briefly after it, only during a run, "
        "never (for a shared machine), or onnxruntime's default",
    )

    def for_session(self) -> dict[str, str]:
        return {
            # onnxruntime supports the limit from 1.26 on; older versions ignore it, and spin as with always.
            "brief": {"session.intra_op.spin_duration_us": BRIEF_US},
            "run": super().for_session(),
            "never": {"session.intra_op.allow_spinning": "0"},
            "always": {},
        }[self.spinning]

    def fixed_sizes(self) -> bool:
        return False


class CudaOptions(DeviceOptions):
    """NVIDIA GPUs through CUDA and cuDNN (onnxruntime: CUDA execution provider, configuration options)."""

    device_id: int = Field(0, ge=0, le=1023, description="index of the GPU")
    gpu_mem_limit: int | None = Field(None, ge=1, description="limit of the GPU memory arena in bytes")
    cudnn_conv_algo_search: Literal["HEURISTIC", "EXHAUSTIVE", "DEFAULT"] = Field(
        # EXHAUSTIVE, onnxruntime's default, measures every algorithm again for each new batch size.
        "HEURISTIC",
        description="how cuDNN chooses a convolution's algorithm",
    )
    use_tf32: bool = Field(
        # On by default in onnxruntime, but then the scores would differ from the spec's.
        default=False,
        description="round the factors of float32 products to 10 bits: faster, but without parity",
    )
    prefer_nhwc: bool | None = Field(
        None, description="use the channels-last layout of tensor cores; by default for a float16 file"
    )
    enable_cuda_graph: bool = Field(
        default=False, description="replay recorded kernels: a batch is padded to the next size of cuda_graph_batches"
    )
    cuda_graph_batches: Batches = Field((1, 8, 64), description="batch sizes recorded at the start, for example 1,8,64")

    def for_provider(self, use: Use) -> dict[str, str]:
        nhwc = use.precision == "float16" if self.prefer_nhwc is None else self.prefer_nhwc
        limit = {} if self.gpu_mem_limit is None else {"gpu_mem_limit": str(self.gpu_mem_limit)}
        return {
            "device_id": str(self.device_id),
            "cudnn_conv_algo_search": self.cudnn_conv_algo_search,
            "use_tf32": _flag(self.use_tf32),
            "prefer_nhwc": _flag(nhwc),
            "enable_cuda_graph": _flag(self.enable_cuda_graph),
            **limit,
        }

    def remarks(self, precision: str) -> tuple[str, ...]:
        rounded = self.use_tf32 and precision == "float32"
        return ("use_tf32 rounds the factors of float32 products to 10 bits",) if rounded else ()

    def batches(self) -> tuple[int, ...]:
        return self.cuda_graph_batches if self.enable_cuda_graph else ()

    def buffers(self) -> tuple[str, int]:
        return "cuda", self.device_id


class TensorrtOptions(DeviceOptions):
    """NVIDIA GPUs through TensorRT (onnxruntime: TensorRT execution provider, configurations)."""

    device_id: int = Field(0, ge=0, le=1023, description="index of the GPU")
    precision: Arithmetic | None = Field(None, description="precision for a float32 file; by default the file's own")
    engine_cache: DirectoryPath | None = Field(
        None, description="an existing folder to cache built engines: the next start takes seconds, not minutes"
    )
    min_batch: int = Field(1, ge=1, le=65536, description="smallest batch of one engine")
    opt_batch: int = Field(8, ge=1, le=65536, description="batch for which the engine is optimised")
    max_batch: int = Field(
        64, ge=1, le=65536, description="largest batch of one engine; a larger batch builds another engine"
    )
    enable_cuda_graph: bool = Field(
        default=False, description="replay recorded kernels: a batch is padded to opt_batch, or split into such"
    )

    @model_validator(mode="after")
    def _ordered(self) -> TensorrtOptions:
        if not self.min_batch <= self.opt_batch <= self.max_batch:
            raise ValueError("min_batch <= opt_batch <= max_batch is required")
        return self

    def for_provider(self, use: Use) -> dict[str, str]:
        return {
            "device_id": str(self.device_id),
            "trt_fp16_enable": _flag(use.precision == "float16"),
            "trt_bf16_enable": _flag(use.precision == "bfloat16"),
            "trt_cuda_graph_enable": _flag(self.enable_cuda_graph),
            **self._cache(),
            **self._profiles(use),
        }

    def _cache(self) -> dict[str, str]:
        if self.engine_cache is None:
            return {}
        folder = str(self.engine_cache)
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        }

    def _profiles(self, use: Use) -> dict[str, str]:
        """One engine for all batches; without a profile TensorRT builds a new one for each new shape."""
        batch, *rest = use.input_shape or (0,)
        if batch is not None or None in rest:
            return {}
        named = (("min", self.min_batch), ("opt", self.opt_batch), ("max", self.max_batch))
        return {f"trt_profile_{k}_shapes": f"{use.input_name}:{'x'.join(map(str, (n, *rest)))}" for k, n in named}

    def asked_precision(self) -> str | None:
        return self.precision

    def remarks(self, precision: str) -> tuple[str, ...]:
        # The provider has no option for it (onnxruntime #26029), and libraries read the variable only once.
        if precision != "float32" or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
            return ()
        why = "TensorRT may round the factors of float32 products to 10 bits (TF32)"
        return (f"{why}: set NVIDIA_TF32_OVERRIDE=0 in the environment to prevent it",)

    def batches(self) -> tuple[int, ...]:
        # The provider ignores gpu_graph_id: it replays its one graph for every shape, with wrong results.
        return (self.opt_batch,) if self.enable_cuda_graph else ()

    def buffers(self) -> tuple[str, int]:
        return "cuda", self.device_id


OPENVINO_HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
"""Values of INFERENCE_PRECISION_HINT."""


class OpenvinoOptions(DeviceOptions):
    """OpenVINO, built into onnxruntime or a plug-in (OpenVINO: inference devices and properties)."""

    device: Literal["CPU", "GPU", "NPU"] = Field("CPU", description="which hardware to use; GPU and NPU are Intel's")
    precision: Arithmetic | None = Field(None, description="precision for a float32 file; by default the file's own")
    streams: int = Field(1, ge=1, le=1024, description="parallel runs: 1 for the lowest latency, more for many callers")

    def for_provider(self, use: Use) -> dict[str, str]:
        # Without a hint OpenVINO uses bfloat16 if the CPU has it, regardless of the file's dtype.
        # An int8 file keeps float32 between its quantised layers.
        properties = {"INFERENCE_PRECISION_HINT": OPENVINO_HINTS.get(use.precision, "f32")}
        if self.device != "NPU":  # which has no streams option
            properties["NUM_STREAMS"] = str(self.streams)
        if self.device == "CPU":
            properties["INFERENCE_NUM_THREADS"] = str(use.threads)
        # A plug-in gets the hardware as onnxruntime's own device.
        place = {} if use.plugged else {"device_type": self.device}
        return {**place, "load_config": json.dumps({self.device: properties})}

    def asked_precision(self) -> str | None:
        return self.precision

    def hardware(self) -> str | None:
        return self.device

    def fixed_sizes(self) -> bool:
        return self.device != "CPU"


def _asked_for_software() -> bool:
    return os.environ.get(SOFTWARE_ADAPTER) == "1"


class WebgpuOptions(DeviceOptions):
    """Any GPU through the plug-in onnxruntime-ep-webgpu (onnxruntime: core/providers/webgpu/webgpu_provider_options.h).

    What is None is left to the provider. The first session of a process decides on all but the layout.
    """

    software_adapter: bool = Field(
        default_factory=_asked_for_software,
        description=f"use an adapter that is software, for tests: it computes on the CPU, slowly; {SOFTWARE_ADAPTER}=1 "
        "in the environment does the same",
    )
    power_preference: Literal["high-performance", "low-power"] | None = Field(
        None, description="which GPU to use if there are several"
    )
    backend: Literal["Vulkan", "D3D12"] | None = Field(None, description="graphics API to use if there are several")
    preferred_layout: Literal["NHWC", "NCHW"] | None = Field(None, description="layout of the maps in convolutions")
    validation: Literal["disabled", "wgpuOnly", "basic", "full"] | None = Field(
        None, description="how much of each run is checked: disabled saves time, full helps to report a fault"
    )

    def for_provider(self, use: Use) -> dict[str, str]:
        given = {
            "powerPreference": self.power_preference,
            "dawnBackendType": self.backend,
            "preferredLayout": self.preferred_layout,
            "validationMode": self.validation,
        }
        return {key: value for key, value in given.items() if value is not None}

    def takes_software(self) -> bool:
        return self.software_adapter


def _flag(value: bool) -> str:  # noqa: FBT001
    return "1" if value else "0"


# ------------------------------------------------------------------ parsing

Options = TypeVar("Options", bound=DeviceOptions)


def read_options(device: str, kind: type[Options], given: DeviceOptions | Mapping[str, object] | None) -> Options:
    """The options of a device, from an unchecked mapping. Raises DeviceError for each invalid one."""
    if isinstance(given, kind):
        return given
    if isinstance(given, DeviceOptions):
        raise _refused(device, f"{type(given).__name__} is not its options type", f"pass {kind.__name__}")
    try:
        return kind.model_validate(dict(given or {}))
    except ValidationError as error:
        found = {str(e["loc"][0]) if e["loc"] else "": e for e in error.errors(include_url=False)}
        raise DeviceError(
            [_wrong(device, kind, key, dict(given or {}), e["msg"]) for key, e in found.items()]
        ) from None


def without_graphs(given: Mapping[str, object] | None) -> dict[str, object]:
    """The same options without CUDA graphs, for sessions that also run without bound buffers."""
    return {key: value for key, value in (given or {}).items() if key != "enable_cuda_graph"}


def _wrong(device: str, kind: type[DeviceOptions], key: str, given: Mapping[str, object], why: str) -> Diagnostic:
    fields = kind.model_fields
    if not key:
        return _finding(device, why.removeprefix("Value error, "))
    if key not in fields:
        near = nearest(key, fields)
        known = f"it has {', '.join(fields)}" if fields else "it has no known options"
        return _finding(device, f"unknown option {key!r}", f"did you mean {near!r}? {known}" if near else known)
    reason = why[:1].lower() + why[1:]
    return _finding(device, f"{key} can't be {given.get(key)!r}: {reason}", fields[key].description)


def _refused(device: str, message: str, hint: str) -> DeviceError:
    return DeviceError(_finding(device, message, hint))


def _finding(device: str, message: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic(Code.DEVICE_OPTION, f"{device}: {message}", hint=hint)
