"""Who a client is: by its password, its token, its certificate or a JWT."""
