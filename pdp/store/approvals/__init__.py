"""Tables of approvals: one definition, one interpreter of steps, the same reads on both databases."""
