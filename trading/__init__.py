"""The only app that sends orders: their life, fills, positions, the engine loop and the signer."""
