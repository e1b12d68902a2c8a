"""One upstream and its hosts: the port Registry."""
