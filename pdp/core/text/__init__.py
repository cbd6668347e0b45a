"""Texts: what hides in them, what speaks to a model, whose words they are."""
