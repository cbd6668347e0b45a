"""`pdp switch`."""

import click


@click.command()
def switch() -> None:
    """x"""
