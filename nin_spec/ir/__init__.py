"""The typed intermediate representation: ops, and the chain that they form, independent of any file format."""
