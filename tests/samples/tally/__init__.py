"""A sample room: what one adds for a feature with a section, a table, work, a call and a command of its own."""
