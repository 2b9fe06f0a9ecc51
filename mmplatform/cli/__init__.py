"""The command line: ``mmplatform VERB``. Each module here declares some verbs; none holds logic of its own."""
