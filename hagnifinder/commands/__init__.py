"""Commands of `hagnifinder` that are longer than a screen; `hagnifinder.cli` registers them."""
