import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_connection_to_another_machine_fails_at_once(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as outside, pytest.raises(AssertionError, match="connection to"):
        outside.connect((host, 9))


def test_the_look_up_of_a_foreign_name_fails_at_once() -> None:
    with pytest.raises(AssertionError, match="look-up of"):
        socket.getaddrinfo("venue.invalid", 443)
