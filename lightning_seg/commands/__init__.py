"""Commands beside training: ``lightning-seg data ...``, each a module with ``run(argv)``."""
