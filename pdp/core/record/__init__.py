"""The record: what is written of each answer and event, byte by byte."""
