"""Real clients pull real images through a running regproxy, from a real docker-registry with token auth."""
