"""The repository's Markdown: read, its links checked, made into a site, its shell blocks executed."""
