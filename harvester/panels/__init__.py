"""Figures cut into panels, their letters, and the part of the caption that is theirs."""
