"""Images brought into the store before anybody asks for them."""
