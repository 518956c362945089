"""The typed intermediate representation: ops, and the chain that they form. It knows no file format."""
