"""What `tools/export.py` writes, one module per kind of page; each offers ``pages() -> {path: text}``."""
