"""``python -m mmplatform.local.services.chroma_server --path DIR --host H --port N``: server of the index files.

As the ``chroma run`` program, without importing the client first: the server is compiled code, ready in a fifth of a
second. It ends on SIGTERM.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until a signal comes."""
    import chromadb_rust_bindings  # type: ignore[import-untyped]  # compiled, without type information

    chromadb_rust_bindings.cli(["chroma", "run", *sys.argv[1:]])


if __name__ == "__main__":
    main()
