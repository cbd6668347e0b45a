"""The judge's pure part: its input, its prompts, and the parsing of its answers."""
