"""The signer: a process of its own that alone holds keys. It imports no Django and opens no network.

`server` answers on a unix socket, `policy` decides what may be signed, `records` writes it down before it is
signed, `vault` opens sealed keys. Only `client` belongs to the other processes.
"""
