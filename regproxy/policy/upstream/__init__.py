"""How hosts of an upstream are chosen, asked and believed."""
