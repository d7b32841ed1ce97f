"""One HTML file about a harvest: what was found, what was lost and why, how far the scales can be trusted."""
