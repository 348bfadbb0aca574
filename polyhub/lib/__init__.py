"""What every app shares: money, clocks, errors, choices, crypto, push events and service leases."""
