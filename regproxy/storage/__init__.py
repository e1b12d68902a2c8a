"""Where content lies: the port BlobStore."""
