"""The whole way without a network: drawn articles, a local stand-in of the services, and a summary of what came out."""
