"""`pdp decide`."""

import click


@click.command()
def decide() -> None:
    """x"""
