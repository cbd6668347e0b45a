"""Tools of those who develop the product; not in the wheel."""
