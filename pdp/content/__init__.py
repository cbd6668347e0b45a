"""What is inside a call: strict JSON, the pinned schema, findings (DESIGN section 4, observed facts)."""
