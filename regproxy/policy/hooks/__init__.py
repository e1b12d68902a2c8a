"""What registries send when something was pushed to them: who sent it, and which tags it is about. Nothing in it is believed."""
