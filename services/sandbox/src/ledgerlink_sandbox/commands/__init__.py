"""What the provider does: `orders` when asked, `timers` when something falls due."""
