"""The store on SQLite: one process has the file, and writes it on one thread."""
