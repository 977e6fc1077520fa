"""House rules as AST checks, each with its test."""
