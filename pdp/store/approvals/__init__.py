"""What people answered, in tables: one definition, one interpreter of steps, the same reads on both databases."""
