"""Records: the exact bytes of each answer and event."""
