"""Policy enforcement inside agent frameworks. Each module needs the client and its framework, which it imports.

`tool_guard` is what they share. None of them is imported by another part of the product.
"""
