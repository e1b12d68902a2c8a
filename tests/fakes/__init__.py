"""Other people's programs, played on loopback: a registry with its misdeeds, a sink, a raw server and a relay."""
