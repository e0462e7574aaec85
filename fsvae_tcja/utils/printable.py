"""Names of files for people: on Linux they are bytes, which need not be text."""


def shown(path: object) -> str:
    r"""A name or path for a message or a picture: what cannot be printed is escaped, "caf\xe9.png"."""
    return "".join(
        c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode(errors="surrogateescape"))
        for c in str(path)
    )
