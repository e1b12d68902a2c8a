"""The specification's words: names, digests, descriptors, manifests, ranges, challenges and errors, all of them pure."""
