"""What a person reads of a call's arguments: each value laid out by its kind, and marks on what hides."""
