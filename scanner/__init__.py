"""Which wallets are worth a look: measured figures of wallets. It finds, it never orders."""
