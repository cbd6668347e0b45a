"""A call's arguments for people: each value drawn by its kind, with marks on hidden and odd content."""
