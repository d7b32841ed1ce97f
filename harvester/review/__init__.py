"""The review page: a local web page on which people look at the snapshots of a harvest, accept, reject or correct them.

With catalog.py and export/ one of the doors to the database.
"""
