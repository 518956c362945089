def page() -> tuple[bytes, dict[str, str]]:
    return b"", {}
