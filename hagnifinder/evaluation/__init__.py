"""How good the answers are, on patients the network never saw."""
