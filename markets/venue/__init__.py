"""The venue behind one port: `ports` is all the project knows of it, `registry` alone opens one."""
