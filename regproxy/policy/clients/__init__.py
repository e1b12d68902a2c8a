"""What clients may do, and how long they are waited for."""
