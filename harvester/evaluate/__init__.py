"""The image's estimates measured against the scale bars and reviews of a harvest."""
