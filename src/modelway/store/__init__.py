"""The database: one subject per file, SQLAlchemy Core, no HTTP."""
