"""The program that keeps a node's runtime configured."""
