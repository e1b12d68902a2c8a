"""A Kubernetes of our own, built from its Go modules, and the chart in it: `make test-cluster`."""
