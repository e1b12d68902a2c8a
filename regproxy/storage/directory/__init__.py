"""The directory of a store: whose it is, how it was left, and who has it."""
