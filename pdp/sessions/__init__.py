"""What a session has done so far: state, never identity."""
