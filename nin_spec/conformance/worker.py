"""The process that runs cases, since a provider may crash or hang."""

from __future__ import annotations

from typing import Any

from nin_spec.conformance.cases import Case
from nin_spec.conformance.place import Place, facts_of, precisions_of
from nin_spec.conformance.trial import try_case
from nin_spec.processes import Message, respond
from nin_spec.runtime.doctor import small_model
from nin_spec.runtime.session import Session, open_session


class Worker:
    """The state of a worker: its place, and a session that stays open."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self.kept: Session | None = None

    def open(self, **place: Any) -> Message:
        """Open the device; the response has its facts, and the precisions to prove.

        Its session stays open: a provider that shares a context, with its compiled kernels, among all sessions would
        release it after each case. On a software Vulkan that takes seven times as long.
        """
        self.place = Place(**place)
        options = self.place.options
        self.kept = open_session(small_model(), self.place.device, self.place.threads, options=options)
        return {"facts": facts_of(self.place, self.kept), "precisions": precisions_of(self.place)}

    def prove(self, case: dict[str, Any]) -> Message:
        """The verdict on a case. Errors that are not nin-spec's are a defect of the device, or of nin-spec."""
        if self.place is None:
            raise RuntimeError("a case before the device was opened")
        return try_case(Case(**case), self.place).as_dict()


def main() -> None:
    """Respond to requests until the end of the input."""
    worker = Worker()
    respond({"open": worker.open, "prove": worker.prove})


if __name__ == "__main__":
    main()
