"""One call as facts: who asks, for whom, which tool, in which session."""
