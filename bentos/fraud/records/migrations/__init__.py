"""Migrations of the records database, by alembic."""
