"""What is known about content and tags: the port Index."""
