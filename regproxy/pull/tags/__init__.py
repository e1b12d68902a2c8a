"""What tags mean: asked of upstream, remembered, and served as the rules want it."""
