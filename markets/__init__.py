"""What the venue is: events, markets, tokens, books, leaders' trades, and the one way to talk to Polymarket."""
