"""Who people are: users, trading accounts (paper and live), the vault of sealed keys, API tokens."""
