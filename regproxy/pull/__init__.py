"""The use cases: they ask the ports and obey the policies."""
