"""The demo: the product on real input, in one minute."""
