"""Commands beside training, ``lightning-seg data|export``: each a module with ``run(argv)``."""
