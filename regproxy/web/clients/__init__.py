"""Who a client of the registry port is, asked and answered in HTTP."""
