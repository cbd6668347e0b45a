"""Hooks of coding agents: their events and answers, and their own tools."""
