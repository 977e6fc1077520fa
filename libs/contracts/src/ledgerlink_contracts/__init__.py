"""All that the services know of each other: events, clients, fakes."""
