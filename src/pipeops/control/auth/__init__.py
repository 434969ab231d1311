"""Who somebody is, by token, and what they may reach."""
