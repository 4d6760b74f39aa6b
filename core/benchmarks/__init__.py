"""What `core benchmark` measures. Each module has run() -> dict of plain numbers."""
