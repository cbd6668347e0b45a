"""Files that operators write: reading them safely and strictly, and settings in them that contradict each other."""
