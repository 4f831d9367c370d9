"""Pages that explain the paper behind each model: Markdown files, rendered once, kept in the database."""
