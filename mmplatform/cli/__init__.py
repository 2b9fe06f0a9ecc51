"""The command line: ``mmplatform VERB``. Each module declares some verbs, without logic of its own."""
