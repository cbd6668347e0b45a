"""Whole sessions of agents, replayed through facts and the shipped baseline: whom policy asks."""
