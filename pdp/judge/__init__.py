"""The judge: prompts, and sessions with a language model, each for one verdict."""
