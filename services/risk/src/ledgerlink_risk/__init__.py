"""Rules, signals, decisions and cases."""
