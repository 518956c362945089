"""The built-in exporters, one file each. Their import name is `nin_spec.exporters`."""

if __name__ != "nin_spec.exporters":
    raise ImportError(f"import nin_spec.exporters, not {__name__}: a second copy would be another module")
