"""From the catalog to a labelled data set that the usual tools open. Writes files, as fetch/store.py does."""
