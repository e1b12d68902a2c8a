"""Credentials that clouds issue for a while: where they come from, how requests for them are signed, how long they are used."""
