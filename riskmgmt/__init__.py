"""What an account may do: limits, the pure gate before every order, halts. It never sends or cancels."""
