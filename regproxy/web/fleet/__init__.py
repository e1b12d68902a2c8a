"""What other members of the fleet are answered."""
