"""A matching engine in pure Python: no Django, no network, no clock, no chance. The caller says what time it is."""
