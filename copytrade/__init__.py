"""Copying: a leader's trades become decisions, and decisions become intents for trading."""
