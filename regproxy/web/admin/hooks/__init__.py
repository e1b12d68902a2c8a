"""What registries and Harbor's preheat drivers send to the admin port, which they reach by secrets of their own."""
