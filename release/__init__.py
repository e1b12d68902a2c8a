"""What a release consists of: `make dist` and `make image`."""
