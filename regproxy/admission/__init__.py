"""Judging and pinning the images of Pods as they are made (Kubernetes, "Dynamic Admission Control")."""
