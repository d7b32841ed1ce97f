"""The catalog's database: tables, connection, migrations and the larger questions asked of it. Usable alone."""
