"""kill -9 of every process under load: nothing lost, nothing doubled, the books sum to zero."""
