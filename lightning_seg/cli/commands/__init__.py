"""Additional commands, ``lightning-seg data|export|...``; each is a module with ``run(argv)``."""
