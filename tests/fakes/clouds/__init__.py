"""Clouds that issue credentials, each as its documentation says, and that look at what is signed."""
