"""Copying content in: one fill per blob, shared while it runs."""
