"""PolyHub: the project package. Settings, routes, process control and the small library every app shares."""
